//! GeoJSON polygons in pixels, as QuPath reads and writes objects.

use serde_json::{Value, json};

use super::Findings;
use super::contour::{Corner, polygons};

/// One feature a connected piece; slices are QuPath's planes.
pub(crate) fn json(findings: &Findings) -> Value {
    let [width, height, slices] = findings.volume.dimensions();
    let mut features = Vec::new();
    for target in &findings.targets {
        for slice in 0..slices {
            for polygon in polygons(target.slice(width * height, slice), width) {
                let rings: Vec<Vec<Corner>> = [&polygon.outline]
                    .into_iter()
                    .chain(&polygon.holes)
                    .map(|ring| closed(ring))
                    .collect();
                let mut geometry = json!({"type": "Polygon", "coordinates": rings});
                if slices > 1 {
                    geometry["plane"] = json!({"c": -1, "z": slice, "t": 0});
                }
                features.push(json!({
                    "type": "Feature",
                    "geometry": geometry,
                    "properties": {
                        "objectType": "annotation",
                        "classification": {"name": target.label, "color": target.color},
                    },
                }));
            }
        }
    }
    json!({"type": "FeatureCollection", "features": features})
}

/// The first corner again at the end (RFC 7946 section 3.1.6), in the direction that the RFC asks for.
fn closed(ring: &[Corner]) -> Vec<Corner> {
    let mut ring: Vec<Corner> = ring.iter().rev().copied().collect();
    ring.extend(ring.first().copied());
    ring
}
