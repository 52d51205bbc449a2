echo changed > tracked/y.txt
echo more > raw/new.csv
