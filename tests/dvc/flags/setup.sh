echo held > held.txt
echo /held.txt > .gitignore
