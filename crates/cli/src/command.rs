//! One module for each command, or for a few that work alike.

pub(crate) mod apply;
pub(crate) mod artefacts;
pub(crate) mod backup;
pub(crate) mod bootstrap;
pub(crate) mod children;
pub(crate) mod cluster;
pub(crate) mod composite;
pub(crate) mod credentials;
pub(crate) mod desired;
pub(crate) mod devices;
pub(crate) mod diagnose;
pub(crate) mod enrollment;
pub(crate) mod groups;
pub(crate) mod label;
pub(crate) mod models;
pub(crate) mod observations;
pub(crate) mod operations;
pub(crate) mod profiles;
pub(crate) mod raw;
pub(crate) mod read;
pub(crate) mod rest_shim;
pub(crate) mod rollout;
pub(crate) mod stream;
pub(crate) mod watch;
pub(crate) mod write;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;
use crate::output::Format;
use crate::{dev, output, tether};

/// Does what the command line says.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let global = arguments.global;
    check_format(global.output, &arguments.command)?;
    match arguments.command {
        Command::Dev(options) => dev::run(options, &global).await,
        Command::Devices(devices) => devices.run(&global).await,
        Command::Label(label) => label.run(&global).await,
        Command::Annotate(annotate) => annotate.run(&global).await,
        Command::DeleteDevice(delete) => delete.run(&global).await,
        Command::Device { endpoint } => devices::describe(&global, endpoint).await,
        Command::Diagnose { endpoint } => diagnose::run(&global, endpoint).await,
        Command::Read(read) => read.run(&global).await,
        Command::Write(write) => write.run(&global).await,
        Command::WriteComposite(write) => write.run(&global).await,
        Command::Exec(exec) => exec.run(&global).await,
        Command::Create(create) => create.run(&global).await,
        Command::Delete(delete) => delete.run(&global).await,
        Command::Attributes(attributes) => attributes.run(&global).await,
        Command::Discover(discover) => discover.run(&global).await,
        Command::Children(children) => children.run(&global).await,
        Command::Observe(observe) => observe.run(&global).await,
        Command::Desired(desired) => desired.run(&global).await,
        Command::Observations(observations) => observations.run(&global).await,
        Command::Raw(raw) => raw.run(&global).await,
        Command::Watch(watch) => watch.run(&global).await,
        Command::Operations(operations) => operations.run(&global).await,
        Command::Credentials(credentials) => credentials.run(&global).await,
        Command::Artefacts(artefacts) => artefacts.run(&global).await,
        Command::Groups(groups) => groups.run(&global).await,
        Command::Enrollment(enrollment) => enrollment.run(&global).await,
        Command::Profiles(profiles) => profiles.run(&global).await,
        Command::Bootstrap(bootstrap) => bootstrap.run(&global).await,
        Command::Models(models) => models.run(&global).await,
        Command::Rollout(rollout) => rollout.run(&global).await,
        Command::Backup(backup) => backup.run(&global).await,
        Command::Cluster { command: None } => cluster::status(&global).await,
        Command::Cluster {
            command: Some(command),
        } => command.run(&global).await,
        Command::Apply(apply) => apply.run(&global).await,
        Command::Token(token) => token.run(&global),
        Command::RestShim(shim) => shim.run(&global).await,
        Command::Completions { shell } => completions(shell),
        Command::Version => output::write(concat!("drover ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Tether(options) => tether::run(options),
    }
}

/// Before anything is done.
fn check_format(format: Format, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Rollout(rollout) if rollout.has_csv() => Ok(()),
        _ if format == Format::Csv => Err(output::no_csv()),
        _ => Ok(()),
    }
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "drover", &mut script);
    output::write(&String::from_utf8_lossy(&script))
}
