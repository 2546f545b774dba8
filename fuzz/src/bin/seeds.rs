//! `seeds FOLDER`: writes what each target begins with into a folder of its name, and prints the names.

// The coverage callbacks of the library are libFuzzer's.
use libfuzzer_sys as _;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "seeds".to_owned());
    for (target, seeds) in fuzz::seeds() {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
        println!("{target}");
    }
    Ok(())
}
