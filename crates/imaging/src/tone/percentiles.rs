//! Percentiles as NumPy computes them by default.

/// Two percentiles (0 to 100) of the finite values, between two of them by a straight line; `None` where there is no
/// finite value.
pub fn percentiles(mut values: Vec<f32>, [first, second]: [f64; 2]) -> Option<[f64; 2]> {
    values.retain(|value| value.is_finite());
    let last = values.len().checked_sub(1)?;
    let mut at = |percent: f64| {
        let place = (percent / 100.0).clamp(0.0, 1.0) * last as f64;
        let below = (place.floor() as usize).min(last);
        let (_, lower, above) = values.select_nth_unstable_by(below, f32::total_cmp);
        let lower = f64::from(*lower);
        let upper = above.iter().copied().reduce(f32::min).map_or(lower, f64::from);
        lower + (upper - lower) * (place - below as f64)
    };
    Some([at(first), at(second)])
}

#[cfg(test)]
mod tests {
    use super::percentiles;

    #[test]
    fn numpys_own_numbers() {
        // numpy.percentile([7, 1, 3, 12], [25, 50]) and [0, 99.5].
        let values = vec![7.0, 1.0, f32::NAN, 3.0, 12.0];
        assert_eq!(percentiles(values.clone(), [25.0, 50.0]), Some([2.5, 5.0]));
        let [least, high] = percentiles(values, [0.0, 99.5]).unwrap();
        assert_eq!(least, 1.0);
        assert!((high - 11.925).abs() < 1e-12);
        assert_eq!(percentiles(vec![f32::NAN], [0.0, 1.0]), None);
        assert_eq!(percentiles(vec![4.0], [0.5, 99.5]), Some([4.0, 4.0]));
    }
}
