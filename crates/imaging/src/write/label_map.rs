//! Several masks as one number a voxel.

use super::Findings;

/// One label a voxel in the file's order: 0 for nothing, else a target's place from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    /// Columns, rows, slices.
    pub dimensions: [usize; 3],
    /// Labels.
    pub labels: Vec<u16>,
    /// The targets' names; label n is the (n−1)th.
    pub names: Vec<String>,
    /// Voxels that more than one target claimed; the likeliest has them, the first where that is not known.
    pub contested: u64,
}

impl LabelMap {
    /// Settles every voxel.
    pub fn new(findings: &Findings) -> Self {
        let mut labels = vec![0; findings.volume.voxels()];
        let mut contested = 0;
        for (index, target) in findings.targets.iter().enumerate() {
            for (voxel, claimed) in target.voxels.iter().enumerate() {
                if *claimed == 0 {
                    continue;
                }
                let owner = usize::from(labels[voxel]);
                if owner > 0 {
                    contested += 1;
                    let other = &findings.targets[owner - 1];
                    if target.probability(voxel) <= other.probability(voxel) {
                        continue;
                    }
                }
                labels[voxel] = index as u16 + 1;
            }
        }
        let names = findings.targets.iter().map(|target| target.label.clone()).collect();
        Self { dimensions: findings.volume.dimensions(), labels, names, contested }
    }

    pub(crate) fn little_endian(&self, wide: bool) -> Vec<u8> {
        if wide {
            self.labels.iter().flat_map(|label| label.to_le_bytes()).collect()
        } else {
            self.labels.iter().map(|label| *label as u8).collect()
        }
    }
}
