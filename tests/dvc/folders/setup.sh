mkdir -p tracked
echo x > tracked/x.txt
echo y > tracked/y.txt
printf '\0binary\r\n' > lone.bin
dvc add -q tracked lone.bin
# Data that is in the cache and not in place.
rm -r tracked lone.bin
