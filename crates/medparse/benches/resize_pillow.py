"""Times Pillow's bicubic resize to 1024 x 1024 on the sizes of picture.rs (median of 15, one thread, as Pillow has)."""

import statistics
import time

from PIL import Image

for size in [(256, 256), (512, 512), (1600, 1200), (4000, 3000)]:
    noise = Image.effect_noise(size, 100)
    picture = Image.merge("RGB", (noise, noise, noise))
    times = []
    for _ in range(15):
        start = time.perf_counter()
        picture.resize((1024, 1024), Image.BICUBIC)
        times.append(time.perf_counter() - start)
    print(f"{size[0]} x {size[1]}: {statistics.median(times) * 1e3:.2f} ms")
