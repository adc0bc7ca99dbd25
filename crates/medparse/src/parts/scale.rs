//! Probabilities as bytes that keep their side of the threshold.

/// The scale of a byte, parted by a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    threshold: f32,
    /// The greatest byte that is outside.
    last_outside: u8,
}

impl Scale {
    /// `threshold`: a pixel is inside where its probability is greater, 0..=1.
    pub fn new(threshold: f32) -> Self {
        Self { threshold, last_outside: (threshold * 255.0).floor() as u8 }
    }

    /// The byte of a probability: inside if and only if the probability is.
    pub fn byte(self, probability: f32) -> u8 {
        let byte = (probability * 255.0).round() as u8;
        if probability > self.threshold {
            byte.max(self.last_outside.saturating_add(1))
        } else {
            byte.min(self.last_outside)
        }
    }

    /// The byte of a probability that counts as outside whatever it is.
    pub fn outside(self, probability: f32) -> u8 {
        self.byte(probability).min(self.last_outside)
    }

    /// Whether a byte, or a mean of bytes, is inside.
    pub fn is_inside(self, byte: f32) -> bool {
        byte >= f32::from(self.last_outside) + 0.5
    }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn bytes_keep_the_threshold() {
        for threshold in [0.0, 0.25, 0.3, 0.5, 0.501, 0.999] {
            let scale = Scale::new(threshold);
            for probability in
                (0..=1000).map(|p| p as f32 / 1000.0).chain([threshold, threshold.next_up()])
            {
                let byte = scale.byte(probability);
                assert_eq!(
                    scale.is_inside(byte.into()),
                    probability > threshold,
                    "{probability} {threshold}"
                );
                assert!((f32::from(byte) - probability * 255.0).abs() <= 1.0);
                assert!(!scale.is_inside(scale.outside(probability).into()));
            }
        }
        assert!(!Scale::new(1.0).is_inside(Scale::new(1.0).byte(1.0).into()));
    }
}
