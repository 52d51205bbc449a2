sed -i 's/depth = 3/depth = 4/' model/conf/c.py
