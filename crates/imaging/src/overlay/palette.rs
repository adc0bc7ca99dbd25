//! Colours that people with any kind of colour vision can tell apart.

/// Red, green, blue, 0..=255.
pub type Rgb = [u8; 3];

/// The colours of the layers, in order.
///
/// The first seven are Okabe and Ito's ("Color Universal Design", 2008) without black. The rest were chosen one after the
/// other, each as far as possible from all before it in OKLab, in the nearest of four views: normal, and protan, deutan and
/// tritan vision as Machado, Oliveira and Fernandes simulate them (2009, severity 1).
pub const PALETTE: [Rgb; 20] = [
    [0xe6, 0x9f, 0x00],
    [0x56, 0xb4, 0xe9],
    [0x00, 0x9e, 0x73],
    [0xf0, 0xe4, 0x42],
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0xcc, 0x79, 0xa7],
    [0x96, 0xff, 0xff],
    [0xa5, 0x3c, 0x2d],
    [0xa5, 0x69, 0xff],
    [0xa5, 0xd2, 0xa5],
    [0x78, 0x00, 0xf0],
    [0x87, 0x5a, 0x78],
    [0xc3, 0xf0, 0xb4],
    [0x96, 0xb4, 0x87],
    [0x69, 0xd2, 0xff],
    [0xe1, 0xc3, 0x5a],
    [0xc3, 0x2d, 0xc3],
    [0x87, 0x96, 0xff],
    [0xd2, 0x96, 0xc3],
];

#[cfg(test)]
mod tests {
    use super::{PALETTE, Rgb};

    type Matrix = [[f64; 3]; 3];

    /// Normal vision, then Machado's matrices for protan, deutan and tritan, on linear RGB.
    const VIEWS: [Matrix; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ];

    fn apply(matrix: &Matrix, v: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
    }

    /// Ottosson's OKLab (2020) of a colour as a view shows it.
    fn oklab(color: Rgb, view: &Matrix) -> [f64; 3] {
        let linear = color.map(|channel| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        });
        let seen = apply(view, linear).map(|c| c.clamp(0.0, 1.0));
        let cones = apply(
            &[
                [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
                [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
                [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
            ],
            seen,
        );
        apply(
            &[
                [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
                [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
                [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
            ],
            cones.map(f64::cbrt),
        )
    }

    #[test]
    fn every_pair_of_colours_differs_in_every_view() {
        // 0.02 is about the least difference people notice between patches side by side.
        for (count, least) in [(7, 0.075), (12, 0.075), (20, 0.06)] {
            for view in &VIEWS {
                for (i, first) in PALETTE[..count].iter().enumerate() {
                    for second in &PALETTE[..i] {
                        let (a, b) = (oklab(*first, view), oklab(*second, view));
                        let distance = (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt();
                        assert!(
                            distance > least,
                            "{first:?} and {second:?} are {distance:.3} apart"
                        );
                    }
                }
            }
        }
    }
}
