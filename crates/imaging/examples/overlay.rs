//! Draws masks over a picture.
//!
//! ```text
//! cargo run --release -p medparse-imaging --example overlay -- out.png                             # a made-up picture
//! cargo run --release -p medparse-imaging --example overlay -- out.png picture.png "left lung=mask.png" …
//! ```

use std::error::Error;

use medparse_imaging::{Layer, Limits, Mask, OverlayStyle, Picture, overlay, procedural};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("usage: overlay OUT [PICTURE LABEL=MASK...]")?;
    let (picture, masks) = match arguments.next() {
        Some(path) => (
            Picture::open(path)?,
            arguments.map(|argument| named_mask(&argument)).collect::<Result<_, _>>()?,
        ),
        None => made_up()?,
    };
    let layers: Vec<Layer<'_>> =
        masks.iter().map(|(label, mask)| Layer::new(label, mask)).collect();
    overlay(&picture, &layers, &OverlayStyle::default())?.save_png(out)?;
    Ok(())
}

/// A picture, and masks with their labels.
type Scene = (Picture, Vec<(String, Mask)>);

fn made_up() -> Result<Scene, Box<dyn Error>> {
    let scene = procedural::cells(1024, 768, 42)?;
    let masks =
        scene.targets.into_iter().map(|target| (target.label.to_owned(), target.mask)).collect();
    Ok((scene.picture, masks))
}

fn named_mask(argument: &str) -> Result<(String, Mask), Box<dyn Error>> {
    let (label, path) = argument.split_once('=').ok_or("a mask is given as LABEL=FILE")?;
    Ok((label.to_owned(), Mask::decode(&std::fs::read(path)?, &Limits::default())?))
}
