//! What came of a volume, or of a picture asked in tiles, for machines and for people.

use std::path::PathBuf;

use medparse_imaging::write::{Findings, Target};
use medparse_imaging::{Volume, grouped};
use serde::Serialize;

use super::report::Settings;

/// The JSON of one volume, or of a picture asked in tiles.
#[derive(Debug, Clone, Serialize)]
pub struct VolumeReport {
    pub image: PathBuf,
    pub columns: usize,
    pub rows: usize,
    pub slices: usize,
    /// mm between columns, rows and slices; null where the file does not say.
    pub spacing_mm: Option<Vec<f64>>,
    pub plane: String,
    #[serde(flatten)]
    pub settings: Settings,
    /// Of computing, this run's only.
    pub seconds: f64,
    pub answers: Vec<TargetReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay: Option<PathBuf>,
    pub files: Vec<PathBuf>,
    pub warnings: Vec<String>,
}

/// The JSON of one phrase.
#[derive(Debug, Clone, Serialize)]
pub struct TargetReport {
    pub prompt: String,
    /// Null where nothing was found.
    pub category: Option<String>,
    /// Its number in label maps and segmentations.
    pub label: usize,
    pub voxels: u64,
    /// Null where the voxels have no size, and of pictures.
    pub volume_ml: Option<f64>,
    /// Null where the pixels have no size, and of volumes.
    pub area_mm2: Option<f64>,
    /// Null where nothing was found.
    #[serde(rename = "box")]
    pub bounding_box: Option<BoxInVoxels>,
    /// How probable it is that the object is in the part where that is most probable; null for models that do not say.
    pub presence: Option<f64>,
}

/// The JSON of a box in a volume's own voxels: the first corner and the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BoxInVoxels {
    pub first: [usize; 3],
    pub size: [usize; 3],
}

impl BoxInVoxels {
    /// The smallest box around all voxels that are not 0.
    fn of(voxels: &[u8], [columns, rows, _]: [usize; 3]) -> Option<Self> {
        let mut bounds: Option<[[usize; 2]; 3]> = None;
        for (line, values) in voxels.chunks_exact(columns).enumerate() {
            let Some(first) = values.iter().position(|value| *value != 0) else { continue };
            let last = values.iter().rposition(|value| *value != 0).unwrap_or(first);
            let found = [[first, last], [line % rows; 2], [line / rows; 2]];
            bounds = Some(match bounds {
                None => found,
                Some(known) => std::array::from_fn(|axis| {
                    [known[axis][0].min(found[axis][0]), known[axis][1].max(found[axis][1])]
                }),
            });
        }
        bounds.map(|bounds| Self {
            first: bounds.map(|[first, _]| first),
            size: bounds.map(|[first, last]| last + 1 - first),
        })
    }
}

impl TargetReport {
    /// The reports of findings, in their order.
    pub fn all(findings: &Findings, volume: &Volume, presence: &[Option<f64>]) -> Vec<Self> {
        let pixel = volume.pixel_spacing().map(|[along, down]| along * down);
        let report = |(index, target): (usize, &Target)| {
            let voxels = target.count();
            Self {
                prompt: target.label.clone(),
                category: target.category.clone(),
                label: index + 1,
                voxels,
                volume_ml: findings.millilitres(target).filter(|_| !volume.is_flat()),
                area_mm2: pixel.filter(|_| volume.is_flat()).map(|pixel| voxels as f64 * pixel),
                bounding_box: BoxInVoxels::of(&target.voxels, volume.dimensions()),
                presence: presence.get(index).copied().flatten(),
            }
        };
        findings.targets().iter().enumerate().map(report).collect()
    }
}

impl VolumeReport {
    /// The lines for a person.
    pub fn table(&self) -> String {
        let slices = if self.slices > 1 { format!(" × {}", self.slices) } else { String::new() };
        let mut text = format!(
            "{}  {} × {}{slices}, {}  {:.1} s",
            self.image.display(),
            self.columns,
            self.rows,
            self.plane,
            self.seconds
        );
        for answer in &self.answers {
            text.push_str(&format!("\n  {}  {}", answer.label, answer.prompt));
            if answer.voxels == 0 {
                text.push_str("  not found");
                continue;
            }
            let unit = if self.slices > 1 { "voxels" } else { "px" };
            text.push_str(&format!("  {} {unit}", grouped(answer.voxels)));
            if let Some(volume) = answer.volume_ml {
                text.push_str(&format!("  {volume:.2} mL"));
            }
            if let Some(area) = answer.area_mm2 {
                text.push_str(&format!("  {area:.2} mm²"));
            }
        }
        if let Some(overlay) = &self.overlay {
            text.push_str(&format!("\n  overlay: {}", overlay.display()));
        }
        for file in &self.files {
            text.push_str(&format!("\n  {}", file.display()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::BoxInVoxels;

    #[test]
    fn a_box_is_the_smallest_one() {
        let mut voxels = vec![0; 4 * 3 * 2];
        assert_eq!(BoxInVoxels::of(&voxels, [4, 3, 2]), None);
        voxels[4 + 1] = 255;
        voxels[12 + 8 + 3] = 255;
        let expected = BoxInVoxels { first: [1, 1, 0], size: [3, 2, 2] };
        assert_eq!(BoxInVoxels::of(&voxels, [4, 3, 2]), Some(expected));
    }
}
