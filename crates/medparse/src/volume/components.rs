//! Connected pieces of a volume.

/// Clears everything but the largest piece whose voxels touch at their faces; of equals, the first.
pub(super) fn keep_largest(mask: &mut [u8], [width, height, slices]: [usize; 3]) {
    let area = width * height;
    let mut piece_of = vec![0_u32; mask.len()];
    let mut sizes = vec![0_u64];
    let mut open = Vec::new();
    for start in 0..mask.len() {
        if mask[start] == 0 || piece_of[start] != 0 {
            continue;
        }
        let piece = sizes.len() as u32;
        sizes.push(0);
        piece_of[start] = piece;
        open.push(start);
        while let Some(at) = open.pop() {
            sizes[piece as usize] += 1;
            let (x, y, z) = (at % width, at % area / width, at / area);
            let neighbours = [
                (x > 0).then(|| at - 1),
                (x + 1 < width).then(|| at + 1),
                (y > 0).then(|| at - width),
                (y + 1 < height).then(|| at + width),
                (z > 0).then(|| at - area),
                (z + 1 < slices).then(|| at + area),
            ];
            for next in neighbours.into_iter().flatten() {
                if mask[next] != 0 && piece_of[next] == 0 {
                    piece_of[next] = piece;
                    open.push(next);
                }
            }
        }
    }
    let largest = (1..sizes.len()).rev().max_by_key(|piece| sizes[*piece]).unwrap_or(0) as u32;
    for (voxel, piece) in mask.iter_mut().zip(piece_of) {
        if piece != largest {
            *voxel = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::keep_largest;

    #[test]
    fn only_the_largest_piece_stays() {
        // Two slices of 3 × 2; corners do not connect.
        let mut mask = [255, 0, 255, 0, 255, 0, 0, 0, 255, 0, 0, 255];
        keep_largest(&mut mask, [3, 2, 2]);
        assert_eq!(mask, [0, 0, 255, 0, 0, 0, 0, 0, 255, 0, 0, 255]);
        let mut empty = [0; 4];
        keep_largest(&mut empty, [2, 2, 1]);
        assert_eq!(empty, [0; 4]);
    }
}
