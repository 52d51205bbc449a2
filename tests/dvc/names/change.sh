echo more >> seed.txt
