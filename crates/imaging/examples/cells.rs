//! Writes the procedural picture of cells: `cells OUT.png [WIDTH HEIGHT SEED]`.

use medparse_imaging::procedural;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, width, height, seed) = match arguments.as_slice() {
        [path] => (path, 512, 384, 7),
        [path, width, height, seed] => (path, width.parse()?, height.parse()?, seed.parse()?),
        _ => return Err("usage: cells OUT.png [WIDTH HEIGHT SEED]".into()),
    };
    procedural::cells(width, height, seed)?.picture.save_png(path)?;
    Ok(())
}
