//! Checks the shape of the workspace: the arrows between packages, the libraries that the pure ones
//! must not reach, and the files that may name a library.

mod arrows;
mod doors;
mod source;
mod workspace;

use std::path::Path;

use anyhow::{Result, bail};

use workspace::Workspace;

#[expect(
    clippy::print_stdout,
    reason = "the result is what the command is run for"
)]
pub(crate) fn run(root: &Path) -> Result<()> {
    let workspace = Workspace::load(root)?;
    let mut violations = arrows::check(&workspace);
    violations.extend(doors::check(&workspace)?);
    if violations.is_empty() {
        println!("{} packages keep to their layers", workspace.members.len());
        return Ok(());
    }
    for violation in &violations {
        println!("{violation}");
    }
    bail!(
        "{} violations; CONTRIBUTING.md tells the rules",
        violations.len()
    );
}
