//! The command line as clap sees it; its help is the manual.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::command::{
    apply, artefacts, backup, bootstrap, children, cluster, composite, credentials, desired,
    devices, enrollment, groups, label, models, observations, operations, profiles, raw, read,
    rest_shim, rollout, stream, watch, write,
};
use crate::failure::Failure;
use crate::output::Format;
use crate::proof::Given;
use crate::{dev, model, tether, token};

const ABOUT_EXIT: &str = "\
Examples:
  drover dev                                 start a cluster with simulated devices here
  drover devices                             list devices
  drover label sim-0001 site=north           label a device; `drover devices -l site=north` finds it
  drover read sim-0001 /3/0/0                read a resource
  drover write sim-0001 /3/0/14 +02:00       write a resource
  drover exec sim-0001 /3/0/4                execute a resource
  drover observe sim-0001 /3303/0/5700       follow a resource
  drover watch                               follow the events of the fleet
  drover rollout create fw-2 --version 2.0 --uri coap://10.0.0.1/fw     give the fleet a firmware

Where the API is: --api, else DROVER_API, else endpoints.json in --dir, DROVER_DIR or ./.drover.
Who calls: --api-token-file, --api-token, or --api-cert with --api-key; else what that directory has.

Exit codes:
  0  done
  1  it failed: the device or the API refused
  2  the command makes no sense, or no API address is known
  3  not found: device, resource, operation or credential
  4  unavailable: API, cluster or device cannot be reached now, or time ran out";

/// Manages fleets of LwM2M devices.
#[derive(Debug, Parser)]
#[command(name = "drover", version, after_help = ABOUT_EXIT, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Addresses of the public API; the first that answers is used. With https:// before it, TLS is.
    #[arg(
        long,
        global = true,
        env = "DROVER_API",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) api: Vec<String>,
    #[command(flatten)]
    pub(crate) proof: Given,
    /// Directory of `drover dev`, where endpoints.json is.
    #[arg(
        long,
        global = true,
        env = "DROVER_DIR",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub(crate) dir: Option<PathBuf>,
    /// Form of the output.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true,
        help = "Form of the output: table, json or yaml"
    )]
    pub(crate) output: Format,
    /// Longest wait for an answer, such as 500ms, 30s or 2m.
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a time is 500ms, 30s or 2m"))?;
    if timeout.is_zero() {
        return Err("must be more than nothing".to_owned());
    }
    Ok(timeout)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a cluster with simulated devices on this machine.
    Dev(dev::Options),
    /// List devices: all of which anything is known, or some of them.
    Devices(devices::Devices),
    /// Show one device: registration, objects, known values, desired state.
    #[command(after_help = "Example:\n  drover device sim-0001")]
    Device {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
    },
    /// Set, remove or show labels of a device.
    Label(label::Label),
    /// Set, remove or show annotations of a device.
    Annotate(label::Annotate),
    /// Names for the devices that a filter lets through: put, list, get, remove.
    #[command(subcommand)]
    Groups(groups::Groups),
    /// Which devices may register, and as what: put, list, get, remove.
    #[command(subcommand)]
    Enrollment(enrollment::Enrollment),
    /// Packages that devices fetch from the cluster: put, list, get, remove.
    #[command(subcommand)]
    Artefacts(artefacts::Artefacts),
    /// What many devices are to be like: put, list, get, devices, remove.
    #[command(subcommand)]
    Profiles(profiles::Profiles),
    /// Delete everything that is known of a device.
    DeleteDevice(label::DeleteDevice),
    /// Ask a device how it is, and say in words what is wrong.
    #[command(after_help = "\
Reads Device, Connectivity Monitoring, Firmware Update, Connectivity Statistics, Server, Location and Event Log of a device that
is there, and looks at its registration, its operations and its last bootstrap, at what its ingress node has counted of lost
messages and changes of address, and at what was refused to whoever claimed to be it.

Example:
  drover diagnose sim-0001

JSON: {\"endpoint\", \"findings\": [{\"severity\": Problem|Warning|Notice, \"summary\", \"evidence\", \"advice\"}],
  \"exchanges\": [{\"path\", \"outcome\", \"seconds\", \"values\"}],
  \"contact\": {\"since\", \"heardTime\", \"requests\", \"unanswered\", \"sentAgain\", \"heard\", \"heardAgain\", \"registeredAgain\", \"moves\",
    \"lastMove\": {\"time\", \"from\", \"to\"}}, which is null if no ingress node holds the device or the one
    that does tells nothing,
  \"refusedAttempts\": [{\"time\", \"from\", \"attempt\": Handshake|Registration|OfServer, \"reason\", \"count\"}]}.")]
    Diagnose {
        /// Endpoint name of the device.
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
    },
    /// Read resources, object instances or objects from the device.
    Read(read::Read),
    /// Write a resource, or several of an object instance.
    Write(write::Write),
    /// Write resources anywhere in the device, all of them or none.
    WriteComposite(composite::WriteComposite),
    /// Execute a resource.
    Exec(write::Exec),
    /// Create an object instance.
    Create(write::Create),
    /// Delete an object instance, or an instance of a resource.
    Delete(write::Delete),
    /// Set or remove notification attributes: pmin, pmax, gt, lt, st, …
    Attributes(write::Attributes),
    /// Ask the device what there is below a path; without a path, show what it registered with.
    Discover(read::Discover),
    /// List the devices behind a gateway, asked of it.
    Children(children::Children),
    /// Follow resources, object instances or objects: their values now and each notification.
    Observe(stream::Observe),
    /// Values and object instances that a device should have, whether it is there or not: set, list, remove.
    #[command(subcommand)]
    Desired(desired::Desired),
    /// What a device reports for as long as it is wanted, whoever listens: add, list, remove.
    #[command(subcommand)]
    Observations(observations::Observations),
    /// Send the device a request as it is, and show what it answers.
    Raw(raw::Raw),
    /// Follow the events of the fleet or of one device.
    Watch(watch::Watch),
    /// Keep devices as declared in YAML, as kubectl apply does.
    Apply(apply::Apply),
    /// Operations under way and finished: list, get, wait, cancel.
    #[command(subcommand)]
    Operations(operations::Operations),
    /// Keys and OSCORE contexts of devices: add, list, remove.
    #[command(subcommand)]
    Credentials(credentials::Credentials),
    /// Which accounts devices get from the bootstrap server: add, list, remove, start.
    #[command(subcommand)]
    Bootstrap(bootstrap::Bootstrap),
    /// Objects that vendors define in XML: add, list, show, remove.
    #[command(subcommand)]
    Models(models::Models),
    /// Firmware campaigns: create, list, get, status, devices, pause, resume, approve, abort, delete.
    #[command(subcommand)]
    Rollout(rollout::Rollout),
    /// Copies of the state tier: create, list, show, verify, delete, prune.
    #[command(subcommand)]
    Backup(backup::Backup),
    /// The state nodes: status, members, add, promote, remove, transfer, unstick.
    #[command(after_help = "\
Without a command it shows the status.

Examples:
  drover cluster
  drover cluster add 10.0.0.9:7444")]
    Cluster {
        #[command(subcommand)]
        command: Option<cluster::Cluster>,
    },
    /// Make a bearer token for a cluster of `drover dev --secure`.
    Token(token::Token),
    /// Serve the REST paths of Leshan's demo servers, for test suites that drive them.
    RestShim(rest_shim::RestShim),
    /// Print a script that completes commands and options in a shell.
    #[command(after_help = "\
Examples:
  drover completions bash > ~/.local/share/bash-completion/completions/drover
  drover completions zsh > ~/.zfunc/_drover
  drover completions fish > ~/.config/fish/completions/drover.fish")]
    Completions {
        /// Which shell.
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the version.
    Version,
    /// Run a program that ends with this process.
    #[command(hide = true)]
    Tether(tether::Options),
}

/// How a change is wanted.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Once {
    /// Id of the request, at most 64 bytes: given again within ten minutes, nothing is changed twice.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub(crate) request_id: String,
    /// Only check whether it could be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// As what something has been seen that is changed.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Seen {
    /// Only if it still has this etag, as `-o json` shows it.
    #[arg(
        long,
        value_name = "ETAG",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) etag: String,
}

/// Which device and where in it.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Endpoint name of the device.
    #[arg(value_name = "ENDPOINT")]
    pub(crate) endpoint: String,
    /// Path, such as /3/0/0.
    #[arg(value_name = "PATH", value_parser = model::parse_path)]
    pub(crate) path: lwm2m::Path,
}

/// Which device and where in it, in one place or in several.
#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// Endpoint name of the device.
    #[arg(value_name = "ENDPOINT")]
    pub(crate) endpoint: String,
    /// Path, such as /3/0/0. Several are asked for in one composite operation.
    #[arg(value_name = "PATH", value_parser = model::parse_path, required = true)]
    pub(crate) paths: Vec<lwm2m::Path>,
}

/// Which of the devices behind a gateway.
#[derive(Debug, Args)]
pub(crate) struct Behind {
    /// Of a gateway: the prefix of the device behind it that is meant; `drover children` lists them.
    #[arg(long, value_name = "PREFIX")]
    child: Option<lwm2m::ChildPrefix>,
}

impl Behind {
    /// The field of the request.
    pub(crate) fn prefix(&self) -> String {
        let prefix = self.child.as_ref().map(ToString::to_string);
        prefix.unwrap_or_default()
    }

    /// There are no composite operations behind a gateway, by which several paths would be asked for, or the root.
    pub(crate) fn check(&self, paths: &[lwm2m::Path]) -> Result<(), Failure> {
        match paths {
            [path] if *path != lwm2m::Path::Root => Ok(()),
            _ if self.child.is_none() => Ok(()),
            _ => Err(Failure::usage(
                "a device behind a gateway is asked for one path at a time",
                "name one, for example /3/0",
            )),
        }
    }

    /// For messages: what is asked.
    pub(crate) fn of(&self, endpoint: &str) -> String {
        match &self.child {
            Some(child) => format!("{child} behind {endpoint}"),
            None => endpoint.to_owned(),
        }
    }
}

impl Targets {
    /// The paths with spaces between them.
    pub(crate) fn named(&self) -> String {
        let texts: Vec<String> = self.paths.iter().map(ToString::to_string).collect();
        texts.join(" ")
    }
}

/// As `kubectl-drover` the command is a plugin, and its help says `kubectl drover`.
pub(crate) fn named_as_called(command: clap::Command, called: Option<OsString>) -> clap::Command {
    let called = called
        .as_ref()
        .and_then(|path| Path::new(path).file_stem())
        .and_then(|name| name.to_str());
    match called {
        Some("kubectl-drover" | "kubectl_drover") => command.bin_name("kubectl drover"),
        _ => command,
    }
}

#[cfg(test)]
mod tests;
