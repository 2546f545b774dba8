//! `drover-operator crd`: what is installed into a cluster, as YAML.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

/// Prints every object, or writes one file for each into `folder`.
pub(crate) fn print(folder: Option<&Path>) -> anyhow::Result<()> {
    for manifest in crd::manifests()? {
        let yaml = manifest.to_yaml()?;
        match folder {
            Some(folder) => {
                let file = folder.join(&manifest.file_name);
                std::fs::write(&file, yaml)
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
            None => write!(std::io::stdout(), "---\n{yaml}")?,
        }
    }
    Ok(())
}
