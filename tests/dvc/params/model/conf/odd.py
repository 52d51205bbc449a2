class Train: lr = 0.1; steps = 3


class M:
    class Sub: z = 1

    def __init__(self): self.q = 2; y = 3
    def __init__later(self): self.r = 2


class Empty(M): pass


G = -(3)
H = -(-3)
I = - -3
J = +True
Größe = 5
try: K = 1; L = 2
finally: N = 3
if True: O = 1
else: P = 2
lower: int = 4; upper: int
