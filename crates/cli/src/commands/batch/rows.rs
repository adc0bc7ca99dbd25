//! Rows of CSV: predictions as the hosted service's batch endpoints write them, and failures.

use anyhow::Result;
use csv::{QuoteStyle, Terminator, WriterBuilder};
use medparse_imaging::Mask;
use medparse_wire::{Framing, ReplyEncoder, read_score_reply};

/// The masks of one picture and their categories.
pub struct Predictions {
    /// One for each phrase, of one size.
    pub masks: Vec<Mask>,
    /// One for each mask.
    pub categories: Vec<&'static str>,
}

impl Predictions {
    /// A row without a header: `label`, `image_features` as in a reply of `/score`, and the categories
    /// as Python prints a list of strings.
    pub fn row(&self, label: &str) -> Result<Vec<u8>> {
        let features = self.image_features()?;
        let categories: Vec<String> =
            self.categories.iter().map(|category| format!("'{category}'")).collect();
        line(&[label, &features, &format!("[{}]", categories.join(", "))])
    }

    fn image_features(&self) -> Result<String> {
        let (width, height) = self.masks.first().map_or((0, 0), Mask::dimensions);
        let mut encoder = ReplyEncoder::new(Framing::Score);
        let mut reply = Vec::new();
        encoder.begin(&mut reply);
        encoder.begin_row(&mut reply);
        for mask in &self.masks {
            let values: Vec<u8> = mask.pixels().iter().map(|&inside| 255 * inside.min(1)).collect();
            encoder.mask(&values, &mut reply);
        }
        let shape = [self.masks.len(), height as usize, width as usize];
        encoder.end_row(shape, &self.categories, &mut reply);
        encoder.end(&mut reply);
        let mut rows = read_score_reply(&reply)?;
        Ok(rows.swap_remove(0).image_features)
    }
}

/// A table with a header.
pub fn table(header: &[&str], rows: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut bytes = line(header)?;
    for (first, second) in rows {
        bytes.extend(line(&[first, second])?);
    }
    Ok(bytes)
}

fn line(cells: &[&str]) -> Result<Vec<u8>> {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::Any(b'\n'))
        .quote_style(QuoteStyle::Necessary)
        .from_writer(Vec::new());
    writer.write_record(cells)?;
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_what_the_hosted_service_writes() {
        let mask = |pixels: [u8; 4]| Mask::from_pixels(2, 2, pixels.to_vec()).unwrap();
        let predictions = Predictions {
            masks: vec![mask([1, 0, 0, 1]), mask([0; 4])],
            categories: vec!["tumor", "heart anatomies"],
        };
        let row = String::from_utf8(predictions.row("7").unwrap()).unwrap();
        assert_eq!(
            row,
            "7,\"{\"\"data\"\": \"\"/wAA/wAAAAA=\"\", \"\"shape\"\": [2, 2, 2], \"\"dtype\"\": \"\"uint8\"\"}\",\
             \"['tumor', 'heart anatomies']\"\n"
        );
    }
}
