echo more >> seed.txt
sed -i 's/0.30/2.50/' settings.json
