echo seed > seed.txt
