//! Test pictures with known truth: a field of stained cells, drawn in integer arithmetic, so that every platform makes
//! the same bytes.

use crate::{Error, Mask, Picture};

/// A made-up picture and the true masks of what is in it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The picture.
    pub picture: Picture,
    /// What can be found in it, in a fixed order.
    pub targets: Vec<Target>,
}

/// One kind of object of a [`Scene`].
#[derive(Clone, Debug)]
pub struct Target {
    /// The phrase one would ask for.
    pub label: &'static str,
    /// Where the objects are, of the picture's size.
    pub mask: Mask,
    /// How many objects were drawn.
    pub count: usize,
}

/// A microscopy field as haematoxylin and eosin stain it: pink tissue, and the violet nuclei of two kinds of cells,
/// which do not touch. The targets are, in this order, "neoplastic cells" (large, pale, uneven) and "inflammatory cells"
/// (small, round, dark); the masks are exact. Equal arguments give equal bytes on every platform.
///
/// # Errors
/// [`Error::Empty`] for a side of 0.
///
/// ```
/// # fn main() -> Result<(), medparse_imaging::Error> {
/// let scene = medparse_imaging::procedural::cells(256, 192, 42)?;
/// assert_eq!(scene.targets[0].label, "neoplastic cells");
/// assert!(scene.targets.iter().all(|target| target.mask.area() > 0));
/// # Ok(())
/// # }
/// ```
pub fn cells(width: u32, height: u32, seed: u64) -> Result<Scene, Error> {
    let field = Field::scatter(width, height, seed);
    let pixels = width as usize * height as usize;
    let mut rgb = Vec::with_capacity(pixels * 3);
    let mut masks = [vec![0u8; pixels], vec![0u8; pixels]];
    for y in 0..height as i32 {
        let near = field.cells_near(y);
        for x in 0..width as i32 {
            let pixel = field.pixel(x, y, &near);
            if let Some(kind) = pixel.nucleus {
                masks[kind as usize][y as usize * width as usize + x as usize] = 255;
            }
            rgb.extend(pixel.rgb);
        }
    }
    let [neoplastic, inflammatory] = masks;
    let target = |label, kind, mask| -> Result<Target, Error> {
        let count = field.cells.iter().filter(|cell| cell.kind == kind).count();
        Ok(Target { label, mask: Mask::from_pixels(width, height, mask)?, count })
    };
    Ok(Scene {
        targets: vec![
            target("neoplastic cells", Kind::Neoplastic, neoplastic)?,
            target("inflammatory cells", Kind::Inflammatory, inflammatory)?,
        ],
        picture: Picture::from_rgb(width, height, rgb)?,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Neoplastic = 0,
    Inflammatory = 1,
}

/// One cell. A nucleus is where `ellipse(x, y) < 1`, its cytoplasm where it is below about 4, both with uneven edges.
#[derive(Clone, Copy, Debug)]
struct Cell {
    kind: Kind,
    x: i32,
    y: i32,
    /// Half axes of the nucleus in pixels.
    axes: [i32; 2],
    /// The direction of the first axis, of length about 256.
    direction: [i32; 2],
    seed: u64,
}

struct Pixel {
    rgb: [u8; 3],
    nucleus: Option<Kind>,
}

struct Field {
    cells: Vec<Cell>,
    /// The half axis of a typical large nucleus, in pixels.
    radius: i32,
    seed: u64,
}

/// 1.0 in the fixed-point numbers of this file.
const ONE: i32 = 256;

impl Field {
    /// Throws cells at the field and keeps those that lie clear of the earlier ones.
    fn scatter(width: u32, height: u32, seed: u64) -> Self {
        const DIRECTIONS: [[i32; 2]; 8] = [
            [256, 0],
            [237, 98],
            [181, 181],
            [98, 237],
            [0, 256],
            [-98, 237],
            [-181, 181],
            [-237, 98],
        ];
        let (width, height) = (width as i32, height as i32);
        let radius = (width.min(height) / 14).clamp(3, 22);
        let mut random = Random(seed);
        let mut cells: Vec<Cell> = Vec::new();
        // About one try per cell-sized square; crowded tries fail, which leaves gaps as tissue has them.
        let tries = (i64::from(width) * i64::from(height) / i64::from(radius * radius * 3))
            .clamp(8, 20_000);
        for attempt in 0..tries {
            // The first two tries are one of each kind, so that no mask of a sensible size is empty.
            let neoplastic = if attempt < 2 { attempt == 0 } else { random.below(5) < 3 };
            let (kind, size) = if neoplastic {
                (Kind::Neoplastic, radius)
            } else {
                (Kind::Inflammatory, radius * 5 / 9)
            };
            let long = (size * (90 + random.below(50)) / 100).max(2);
            let short = match kind {
                Kind::Neoplastic => (long * (55 + random.below(35)) / 100).max(2),
                Kind::Inflammatory => (long * (88 + random.below(12)) / 100).max(2),
            };
            let cell = Cell {
                kind,
                x: random.below(width),
                y: random.below(height),
                axes: [long, short],
                direction: DIRECTIONS[random.below(8) as usize],
                seed: random.next(),
            };
            let clear = |other: &Cell| {
                let (dx, dy) = (i64::from(cell.x - other.x), i64::from(cell.y - other.y));
                let reach = i64::from(cell.axes[0] + other.axes[0]) * 13 / 10 + 2;
                dx * dx + dy * dy > reach * reach
            };
            if cells.iter().all(clear) {
                cells.push(cell);
            }
        }
        Self { cells, radius, seed }
    }

    /// The cells that can colour a row.
    fn cells_near(&self, y: i32) -> Vec<Cell> {
        self.cells.iter().copied().filter(|cell| (cell.y - y).abs() <= cell.axes[0] * 3).collect()
    }

    fn pixel(&self, x: i32, y: i32, near: &[Cell]) -> Pixel {
        let fibres = noise(self.seed ^ 1, x + y / 3, y * 3 - x, self.radius * 2);
        let clouds = noise(self.seed ^ 2, x, y, self.radius * 6);
        let grain = noise(self.seed ^ 3, x, y, 2);
        let tissue = mix(STROMA_PALE, STROMA_DARK, (fibres * 2 + clouds * 2) / 4);
        let mut rgb = shade(tissue, (grain - ONE / 2) / 12);

        for cell in near {
            let reach = cell.axes[0] * 3;
            if (cell.x - x).abs() > reach {
                continue;
            }
            let edge = noise(cell.seed, x, y, (cell.axes[0] * 2 / 3).max(2)) - ONE / 2;
            let uneven = if cell.kind == Kind::Neoplastic { 2 } else { 5 };
            let distance = cell.ellipse(x, y) + edge / uneven;
            if distance < ONE {
                let color = cell.nucleus(x, y, distance);
                return Pixel {
                    rgb: shade(color, (grain - ONE / 2) / 14),
                    nucleus: Some(cell.kind),
                };
            }
            // The cell's own edge wanders more the farther it is from the nucleus.
            let wander = noise(cell.seed ^ 5, x, y, cell.axes[0].max(2)) - ONE / 2;
            let distance = distance + distance * wander / (ONE * 2 / 3);
            let edge = match cell.kind {
                Kind::Neoplastic => ONE * 7 / 2,
                Kind::Inflammatory => ONE * 2,
            };
            if distance < edge {
                let fade = ((edge - distance) * ONE / edge * 2).min(ONE) * 11 / 16;
                rgb = mix(rgb, shade(CYTOPLASM, (grain - ONE / 2) / 14), fade);
            }
        }
        Pixel { rgb, nucleus: None }
    }
}

const STROMA_PALE: [u8; 3] = [243, 222, 233];
const STROMA_DARK: [u8; 3] = [219, 158, 193];
const CYTOPLASM: [u8; 3] = [206, 150, 200];
const NEOPLASTIC_PALE: [u8; 3] = [158, 122, 188];
const NEOPLASTIC_DARK: [u8; 3] = [88, 56, 132];
const INFLAMMATORY_PALE: [u8; 3] = [84, 58, 130];
const INFLAMMATORY_DARK: [u8; 3] = [44, 26, 86];

impl Cell {
    /// The colour of a nucleus's pixel: chromatin in clumps, and a membrane that stains darker than the inside.
    fn nucleus(&self, x: i32, y: i32, distance: i32) -> [u8; 3] {
        let chromatin = noise(self.seed ^ 4, x, y, (self.axes[0] / 4).max(2));
        let membrane = (distance - ONE * 5 / 8).max(0) * 5 / 4;
        let (pale, dark, clumps) = match self.kind {
            // Large nuclei are open: pale, with one or two dark nucleoli.
            Kind::Neoplastic => {
                let nucleolus =
                    (noise(self.seed ^ 6, x, y, (self.axes[0] / 2).max(2)) - ONE * 11 / 16).max(0)
                        * 5;
                (NEOPLASTIC_PALE, NEOPLASTIC_DARK, chromatin / 2 + nucleolus)
            }
            Kind::Inflammatory => (INFLAMMATORY_PALE, INFLAMMATORY_DARK, chromatin * 3 / 4),
        };
        mix(pale, dark, (clumps + membrane).min(ONE))
    }

    /// The squared distance from the centre in half axes; 256 on the ellipse.
    fn ellipse(&self, x: i32, y: i32) -> i32 {
        let (dx, dy) = (i64::from(x - self.x), i64::from(y - self.y));
        let [ux, uy] = self.direction.map(i64::from);
        let [long, short] = self.axes.map(i64::from);
        let along = (dx * ux + dy * uy) / long;
        let across = (dy * ux - dx * uy) / short;
        ((along * along + across * across) / i64::from(ONE)) as i32
    }
}

/// Smooth noise in 0..=256 that changes over about `grain` pixels: lattice values, joined by a cubic.
fn noise(seed: u64, x: i32, y: i32, grain: i32) -> i32 {
    let grain = grain.max(1);
    let (column, row) = (x.div_euclid(grain), y.div_euclid(grain));
    let smooth = |offset: i32| {
        let t = offset * ONE / grain;
        t * t * (3 * ONE - 2 * t) / (ONE * ONE)
    };
    let (across, down) = (smooth(x.rem_euclid(grain)), smooth(y.rem_euclid(grain)));
    let corner = |column: i32, row: i32| (lattice(seed, column, row) & 0xff) as i32;
    let upper = lerp(corner(column, row), corner(column + 1, row), across);
    let lower = lerp(corner(column, row + 1), corner(column + 1, row + 1), across);
    lerp(upper, lower, down)
}

fn lattice(seed: u64, column: i32, row: i32) -> u64 {
    let place = (column as u32 as u64) << 32 | row as u32 as u64;
    Random(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next()
}

fn lerp(from: i32, to: i32, share: i32) -> i32 {
    from + (to - from) * share / ONE
}

fn mix(from: [u8; 3], to: [u8; 3], share: i32) -> [u8; 3] {
    let share = share.clamp(0, ONE);
    std::array::from_fn(|channel| lerp(from[channel].into(), to[channel].into(), share) as u8)
}

fn shade(color: [u8; 3], by: i32) -> [u8; 3] {
    color.map(|channel| (i32::from(channel) + by).clamp(0, 255) as u8)
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in 0..bound.
    fn below(&mut self, bound: i32) -> i32 {
        ((self.next() >> 33) % bound.max(1) as u64) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a, enough to notice a changed pixel.
    fn checksum(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    #[test]
    fn sizes_from_one_pixel_up() {
        for (width, height) in [(1, 1), (1, 40), (17, 3), (64, 64), (200, 31)] {
            let scene = cells(width, height, 5).unwrap();
            assert_eq!(scene.picture.dimensions(), (width, height));
            assert!(scene.targets.iter().all(|target| target.mask.dimensions() == (width, height)));
        }
        assert!(matches!(cells(0, 5, 1), Err(Error::Empty { .. })));
    }

    #[test]
    fn the_bytes_are_the_same_everywhere() {
        let scene = cells(128, 96, 42).unwrap();
        assert_eq!(checksum(scene.picture.pixels()), 0x3f8a_ae94_88c9_5a5e);
        assert_eq!(checksum(scene.targets[0].mask.pixels()), 0x1278_0a50_f63a_ed28);
        assert_eq!(checksum(scene.targets[1].mask.pixels()), 0x663c_6c90_4f87_2a86);
    }

    #[test]
    fn masks_are_disjoint_and_darker_than_the_tissue() {
        let scene = cells(256, 256, 3).unwrap();
        let [neoplastic, inflammatory] = [&scene.targets[0], &scene.targets[1]];
        assert_eq!(neoplastic.mask.iou(&inflammatory.mask).unwrap(), 0.0);
        assert!(
            neoplastic.count > 5 && inflammatory.count > 5,
            "{} {}",
            neoplastic.count,
            inflammatory.count
        );
        let brightness = |inside: &dyn Fn(usize) -> bool| {
            let greens =
                scene.picture.pixels().chunks_exact(3).enumerate().filter(|(i, _)| inside(*i));
            let (count, sum) =
                greens.fold((0u64, 0u64), |(n, s), (_, rgb)| (n + 1, s + u64::from(rgb[1])));
            sum / count.max(1)
        };
        let in_mask = |target: &Target, i: usize| target.mask.pixels()[i] != 0;
        let large = brightness(&|i| in_mask(neoplastic, i));
        let small = brightness(&|i| in_mask(inflammatory, i));
        let tissue = brightness(&|i| !in_mask(neoplastic, i) && !in_mask(inflammatory, i));
        assert!(small < large && large + 40 < tissue, "{small} {large} {tissue}");
    }
}
