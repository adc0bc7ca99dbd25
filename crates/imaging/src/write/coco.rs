//! COCO's JSON with run-length masks, as pycocotools reads it (Lin et al., "Microsoft COCO", 2014; `maskApi.c`).

use serde_json::{Value, json};

use super::Findings;
use crate::Mask;

/// One image a slice, one annotation for each target that a slice shows.
pub(crate) fn json(findings: &Findings, name: &str) -> Value {
    let [width, height, slices] = findings.volume.dimensions();
    let mut annotations = Vec::new();
    for slice in 0..slices {
        for (index, target) in findings.targets.iter().enumerate() {
            let pixels = target.slice(width * height, slice);
            let Ok(mask) = Mask::from_pixels(width as u32, height as u32, pixels.to_vec()) else {
                continue;
            };
            let Some(bounds) = mask.bounding_box() else { continue };
            annotations.push(json!({
                "id": annotations.len() + 1,
                "image_id": slice + 1,
                "category_id": index + 1,
                "iscrowd": 0,
                "area": mask.area(),
                "bbox": [bounds.x, bounds.y, bounds.width, bounds.height],
                "segmentation": {"size": [height, width], "counts": counts(pixels, width)},
            }));
        }
    }
    let file =
        |slice: usize| if slices == 1 { name.to_owned() } else { format!("{name}_{slice:04}") };
    let images: Vec<Value> = (0..slices)
        .map(|slice| json!({"id": slice + 1, "file_name": file(slice), "width": width, "height": height}))
        .collect();
    let categories: Vec<Value> = findings
        .targets
        .iter()
        .enumerate()
        .map(|(index, target)| json!({"id": index + 1, "name": target.label, "supercategory": target.category}))
        .collect();
    json!({"images": images, "categories": categories, "annotations": annotations})
}

/// Run lengths down the columns, zeros first, packed into six bits a character.
fn counts(pixels: &[u8], width: usize) -> String {
    let height = pixels.len() / width;
    let mut runs: Vec<i64> = vec![0];
    let mut lit = false;
    for x in 0..width {
        for y in 0..height {
            if (pixels[y * width + x] != 0) != lit {
                lit = !lit;
                runs.push(0);
            }
            if let Some(run) = runs.last_mut() {
                *run += 1;
            }
        }
    }
    let mut text = String::new();
    for (index, run) in runs.iter().enumerate() {
        // From the fourth on, the difference to the last run of the same kind.
        let mut rest = if index > 2 { run - runs[index - 2] } else { *run };
        loop {
            let mut six = rest & 0x1f;
            rest >>= 5;
            let more = if six & 0x10 != 0 { rest != -1 } else { rest != 0 };
            if more {
                six |= 0x20;
            }
            text.push(char::from(six as u8 + 48));
            if !more {
                break;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn pycocotools_own_strings() {
        // pycocotools.mask.encode(numpy.asfortranarray(...))["counts"] of these masks.
        assert_eq!(counts(&[0, 255, 255, 0, 255, 255], 3), "24");
        assert_eq!(counts(&[255, 0, 0, 255], 2), "0120");
        assert_eq!(counts(&[0; 6], 3), "6");
    }
}
