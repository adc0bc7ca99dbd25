//! Outlines of masks along the edges of their pixels.

/// A corner between pixels: (0, 0) is the upper left corner of the first pixel.
pub(crate) type Corner = [i64; 2];

/// One connected piece: its outline, clockwise on the screen, and its holes, the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Polygon {
    pub outline: Vec<Corner>,
    pub holes: Vec<Vec<Corner>>,
}

/// Towards the right, down, left, up: in the order of right turns.
const STEPS: [Corner; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/// The pieces of a mask (0 or not, rows of `width`); pixels that only touch at a corner are two pieces.
pub(crate) fn polygons(mask: &[u8], width: usize) -> Vec<Polygon> {
    let rings = rings(mask, width);
    let (outlines, holes): (Vec<Ring>, Vec<Ring>) =
        rings.into_iter().partition(|ring| ring.area > 0);
    let mut polygons: Vec<Polygon> = outlines
        .iter()
        .map(|ring| Polygon { outline: ring.corners.clone(), holes: Vec::new() })
        .collect();
    for hole in holes {
        // The foreground lies to the right of every edge; its piece has the smallest outline around it.
        let around = (0..outlines.len())
            .filter(|at| outlines[*at].contains(hole.inside))
            .min_by_key(|at| outlines[*at].area);
        if let Some(polygon) = around.and_then(|at| polygons.get_mut(at)) {
            polygon.holes.push(hole.corners);
        }
    }
    polygons
}

struct Ring {
    corners: Vec<Corner>,
    /// Twice the area; below 0 for holes.
    area: i64,
    /// A foreground pixel beside the first edge.
    inside: Corner,
    bounds: [Corner; 2],
}

impl Ring {
    fn new(corners: Vec<Corner>, inside: Corner) -> Self {
        let next = corners.iter().cycle().skip(1);
        let area = corners.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum();
        let bound = |pick: fn(i64, i64) -> i64| {
            corners
                .iter()
                .copied()
                .reduce(|a, b| [pick(a[0], b[0]), pick(a[1], b[1])])
                .unwrap_or([0; 2])
        };
        Self { bounds: [bound(i64::min), bound(i64::max)], corners, area, inside }
    }

    /// Whether the pixel's centre lies within, by the number of upright edges to its left.
    fn contains(&self, [x, y]: Corner) -> bool {
        let [least, most] = self.bounds;
        if x < least[0] || x >= most[0] || y < least[1] || y >= most[1] {
            return false;
        }
        let next = self.corners.iter().cycle().skip(1);
        let crossings = self.corners.iter().zip(next).filter(|(a, b)| {
            a[0] == b[0] && a[0] <= x && a[1].min(b[1]) <= y && y < a[1].max(b[1])
        });
        crossings.count() % 2 == 1
    }
}

fn rings(mask: &[u8], width: usize) -> Vec<Ring> {
    let height = mask.len() / width.max(1);
    let stride = width + 1;
    // Of each corner, the directions of the edges that leave it, foreground to the right.
    let mut leaving = vec![0_u8; stride * (height + 1)];
    let lit = |x: i64, y: i64| {
        let inside = x >= 0 && y >= 0 && (x as usize) < width && (y as usize) < height;
        inside && mask[y as usize * width + x as usize] != 0
    };
    for y in 0..height {
        for x in 0..width {
            if mask[y * width + x] == 0 {
                continue;
            }
            let (column, row) = (x as i64, y as i64);
            let mut edge = |corner: usize, direction: u8, other: bool| {
                if !other {
                    leaving[corner] |= 1 << direction;
                }
            };
            let corner = y * stride + x;
            edge(corner, 0, lit(column, row - 1));
            edge(corner + 1, 1, lit(column + 1, row));
            edge(corner + 1 + stride, 2, lit(column, row + 1));
            edge(corner + stride, 3, lit(column - 1, row));
        }
    }
    let mut rings = Vec::new();
    for start in 0..leaving.len() {
        while leaving[start] != 0 {
            rings.push(follow(&mut leaving, stride, start));
        }
    }
    rings
}

/// Takes the edges of one ring away.
fn follow(leaving: &mut [u8], stride: usize, start: usize) -> Ring {
    let mut at = start;
    let mut direction = leaving[start].trailing_zeros() as usize;
    let corner = |at: usize| [(at % stride) as i64, (at / stride) as i64];
    // The pixel to the right of the first edge.
    let [x, y] = corner(start);
    let inside = match direction {
        0 => [x, y],
        1 => [x - 1, y],
        2 => [x - 1, y - 1],
        _ => [x, y - 1],
    };
    let mut corners = Vec::new();
    loop {
        corners.push(corner(at));
        // Straight on until the ring turns.
        loop {
            leaving[at] &= !(1 << direction);
            let [dx, dy] = STEPS[direction];
            at = (at as i64 + dx + dy * stride as i64) as usize;
            if at == start {
                return Ring::new(corners, inside);
            }
            // A right turn stays with the same pixel, so that corners do not join pieces.
            let turn = [1, 0, 3].map(|turn| (direction + turn) % 4);
            let next =
                turn.into_iter().find(|next| leaving[at] >> next & 1 == 1).unwrap_or(direction);
            if next != direction {
                direction = next;
                break;
            }
        }
    }
}

impl Polygon {
    /// One outline that enters each hole by a slit of no width: for formats without holes.
    pub(crate) fn keyhole(&self) -> Vec<Corner> {
        let mut ring = self.outline.clone();
        let mut holes: Vec<&Vec<Corner>> = self.holes.iter().collect();
        // From the left, so that every slit ends at the outline or at a hole that has its own.
        let leftmost = |hole: &[Corner]| {
            hole.iter()
                .enumerate()
                .min_by_key(|(_, corner)| **corner)
                .map(|(at, corner)| (at, *corner))
        };
        holes.sort_by_key(|hole| leftmost(hole).map(|(_, corner)| corner));
        for hole in holes {
            let Some((entry, [x, y])) = leftmost(hole) else { continue };
            let edge = (0..ring.len())
                .filter(|at| {
                    let (a, b) = (ring[*at], ring[(at + 1) % ring.len()]);
                    a[0] == b[0] && a[0] < x && a[1].min(b[1]) <= y && y <= a[1].max(b[1])
                })
                .max_by_key(|at| ring[*at][0]);
            let Some(edge) = edge else { continue };
            let gate = [ring[edge][0], y];
            let mut slit = vec![gate];
            slit.extend(hole[entry..].iter().chain(&hole[..=entry]));
            slit.push(gate);
            ring.splice(edge + 1..edge + 1, slit);
        }
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(rows: &[&str]) -> (Vec<u8>, usize) {
        (rows.concat().bytes().map(|byte| u8::from(byte == b'#')).collect(), rows[0].len())
    }

    /// Which pixels a set of rings covers, by counting crossings.
    fn fill(rings: &[&[Corner]], width: usize, height: usize) -> Vec<u8> {
        let covered = |x: i64, y: i64| {
            let crossings =
                rings.iter().flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1))).filter(
                    |(a, b)| a[0] == b[0] && a[0] <= x && a[1].min(b[1]) <= y && y < a[1].max(b[1]),
                );
            u8::from(crossings.count() % 2 == 1)
        };
        (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| covered(x as i64, y as i64))
            .collect()
    }

    #[test]
    fn a_square_has_four_corners() {
        let (pixels, width) = mask(&["....", ".##.", ".##."]);
        let found = polygons(&pixels, width);
        assert_eq!(
            found,
            [Polygon { outline: vec![[1, 1], [3, 1], [3, 3], [1, 3]], holes: vec![] }]
        );
    }

    #[test]
    fn corners_do_not_join_and_holes_find_their_piece() {
        let (pixels, width) =
            mask(&["#......", ".#####.", ".#...#.", ".#.#.#.", ".#...#.", ".#####."]);
        let found = polygons(&pixels, width);
        assert_eq!(found.len(), 3);
        assert_eq!(found.iter().map(|piece| piece.holes.len()).sum::<usize>(), 1);
        let ring = found.iter().find(|piece| !piece.holes.is_empty()).unwrap();
        assert_eq!(ring.outline[0], [1, 1]);
    }

    #[test]
    fn outlines_cover_exactly_the_mask_with_holes_or_slits() {
        let (width, height) = (31, 23);
        for seed in 1..40_u64 {
            let mut state = seed;
            let pixels: Vec<u8> = (0..width * height)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    u8::from(state >> 60 < 9)
                })
                .collect();
            let found = polygons(&pixels, width);
            let rings: Vec<&[Corner]> = found
                .iter()
                .flat_map(|piece| piece.holes.iter().chain([&piece.outline]))
                .map(Vec::as_slice)
                .collect();
            assert_eq!(fill(&rings, width, height), pixels, "seed {seed}");
            let slits: Vec<Vec<Corner>> = found.iter().map(Polygon::keyhole).collect();
            let slits: Vec<&[Corner]> = slits.iter().map(Vec::as_slice).collect();
            assert_eq!(fill(&slits, width, height), pixels, "seed {seed}, slits");
        }
    }
}
