//! One HTML page of a run, whole in itself: no other file, no script, nothing from a network.

use std::fmt::Write as _;

use super::Findings;
use super::slices::Shown;
use crate::overlay::inscribed;
use crate::{Error, Layer, OverlayStyle, Picture, grouped};

/// What the page says beside the findings; nothing of a patient unless the caller puts it there.
#[derive(Clone, Debug, Default)]
pub struct PageNotes {
    /// The heading.
    pub title: String,
    /// Lines of what was used: model, options.
    pub settings: Vec<(String, String)>,
    /// What a person should know before trusting the findings.
    pub warnings: Vec<String>,
}

/// The page's bytes.
///
/// Of a volume the slices are shown, at equal distances, among those where something was found.
///
/// # Errors
/// When a picture of the page cannot be drawn.
pub(crate) fn page(
    findings: &Findings,
    shown: &Shown,
    notes: &PageNotes,
) -> Result<Vec<u8>, Error> {
    let mut html = String::from(HEAD);
    let mut add = |text: std::fmt::Arguments| {
        // Writing into memory does not fail.
        let _ = html.write_fmt(text);
    };
    add(format_args!("<title>{0}</title></head><body><main><h1>{0}</h1>", escaped(&notes.title)));
    if !notes.warnings.is_empty() {
        add(format_args!("<section class=warn><h2>Warnings</h2><ul>"));
        for warning in &notes.warnings {
            add(format_args!("<li>{}</li>", escaped(warning)));
        }
        add(format_args!("</ul></section>"));
    }
    let volume = findings.volume;
    let [count, extent] = if volume.is_flat() { ["Pixels", "Area"] } else { ["Voxels", "Volume"] };
    add(format_args!(
        "<table><thead><tr><th></th><th>Target</th><th>Category</th><th>{count}</th><th>{extent}</th></tr></thead><tbody>"
    ));
    for target in &findings.targets {
        let [r, g, b] = target.color;
        let count = target.count();
        let size = if volume.is_flat() {
            volume
                .pixel_spacing()
                .map(|[along, down]| format!("{:.2} mm²", count as f64 * along * down))
        } else {
            findings.millilitres(target).map(|volume| format!("{volume:.2} mL"))
        };
        let size = size.filter(|_| count > 0).unwrap_or_else(|| "–".to_owned());
        add(format_args!(
            "<tr><td><i style=\"background:rgb({r},{g},{b})\"></i></td><td>{}</td><td>{}</td><td>{}</td><td>{size}</td></tr>",
            escaped(&target.label),
            escaped(target.category.as_deref().unwrap_or("–")),
            if count == 0 { "not found".to_owned() } else { grouped(count) },
        ));
    }
    add(format_args!("</tbody></table><div class=pictures>"));
    for slice in shown.chosen(findings) {
        let picture = drawn(findings, shown, slice)?.encode_png()?;
        let data = base64_simd::STANDARD.encode_to_string(&picture);
        let caption = match shown.caption(findings, slice) {
            caption if caption.is_empty() => caption,
            caption => format!("Slice {caption}"),
        };
        add(format_args!(
            "<figure><img alt=\"{caption}\" src=\"data:image/png;base64,{data}\"><figcaption>{caption}</figcaption></figure>"
        ));
    }
    add(format_args!("</div><dl>"));
    for (name, value) in &notes.settings {
        add(format_args!("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value)));
    }
    add(format_args!(
        "</dl><footer>Made by medparse. Research software, not a medical device.</footer></main></body></html>\n"
    ));
    Ok(html.into_bytes())
}

fn drawn(findings: &Findings, shown: &Shown, slice: usize) -> Result<Picture, Error> {
    let picture = shown.picture(findings, slice)?;
    let masks = shown.masks(findings, slice)?;
    let layers: Vec<Layer> = findings
        .targets
        .iter()
        .zip(&masks)
        .map(|(target, mask)| Layer::new(&target.label, mask).with_color(target.color))
        .collect();
    let inscription = shown.inscription(findings, slice, [0, 0]);
    inscribed(&picture, &layers, &OverlayStyle::default(), &[inscription])
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const HEAD: &str = "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
<style>body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f6f7f9;color:#14171c}main{max-width:70rem;margin:auto;padding:2rem}\
table{border-collapse:collapse;width:100%;background:#fff}th,td{text-align:left;padding:.5rem .8rem;border-bottom:1px solid #dde1e7}\
i{display:inline-block;width:1em;height:1em;border-radius:.25em}.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1rem;margin:2rem 0}\
figure{margin:0}img{width:100%}figcaption,footer,dl{color:#4b5563}.warn{background:#fff4e0;padding:.5rem 1rem;border-left:.3rem solid #d55e00}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dd{margin:0}@media print{body{background:#fff}}</style>";
