//! Devices and servers on Eclipse Leshan's libraries.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::drover::Drover;
use crate::process::Program;

/// Where tests keep what they download and compile.
pub fn cache() -> PathBuf {
    std::env::var_os("DROVER_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("a home folder")).join(".cache/drover"),
        PathBuf::from,
    )
}

/// Compiles the device and the server, once, and returns the class path. Libraries come from Maven Central.
pub fn class_path() -> &'static str {
    static CLASS_PATH: OnceLock<String> = OnceLock::new();
    CLASS_PATH.get_or_init(compile)
}

fn compile() -> String {
    let source = Path::new("interop/leshan");
    let cache = cache();
    let (libraries, classes) = (cache.join("leshan/lib"), cache.join("leshan/classes"));
    if !libraries.join("leshan-lwm2m-server-2.0.0-M18.jar").exists() {
        run(Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(source.join("pom.xml"))
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", libraries.display())));
    }
    std::fs::create_dir_all(&classes).expect("the folder can be made");
    let path = format!("{}/*", libraries.display());
    run(Command::new("javac")
        .args(["-cp", &path, "-d"])
        .arg(&classes)
        .args(
            [
                "FirmwareUpdate.java",
                "InteropDevice.java",
                "InteropServer.java",
            ]
            .map(|name| source.join(name)),
        ));
    std::fs::copy(source.join("logback.xml"), classes.join("logback.xml"))
        .expect("it can be copied");
    format!("{}:{path}", classes.display())
}

fn run(command: &mut Command) {
    let status = command
        .stdin(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// Starts the device in a folder of its own; InteropDevice.java tells its arguments.
pub fn start_device(drover: &Drover, endpoint: &str, arguments: &[&str]) -> Program {
    let folder = drover.scratch().join("leshan").join(endpoint);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let mut command = Command::new("java");
    command
        .current_dir(&folder)
        .args([
            "-Xmx96m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            class_path(),
            "InteropDevice",
        ])
        .arg(endpoint)
        .args(arguments);
    Program::start(&mut command, &folder.join("output")).expect("java can be started")
}
