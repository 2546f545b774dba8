//! The command line.

mod fault;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dtls::CidOffer;
use lwm2m::LwM2mVersion;
use lwm2m_client::{Fault, FirmwareBehaviour};

use crate::report::Format;
use crate::server::ServerUrl;

/// Simulated LwM2M devices.
///
/// The URL of the server says what they reach it by, and with that what they prove themselves with:
///
///   coap://       UDP: nothing
///   coaps://      DTLS: a pre-shared key (--psk-key or --psk-file)
///   coap+tcp://   TCP: nothing
///   coaps+tcp://  TLS: nothing, but they check the server (--ca-file)
///
/// With --oscore-file their messages are protected by OSCORE as well, over any of these.
#[derive(Debug, Parser)]
#[command(name = "drover-sim", version, about, long_about, verbatim_doc_comment)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

const RUN_EXAMPLES: &str = "\
Examples:
  drover-sim run --server coap://127.0.0.1 --devices 100
  drover-sim run --server coaps://lwm2m.example.com --psk-file keys.csv --cid 8
  drover-sim run --server coaps+tcp://lwm2m.example.com --ca-file ca.pem
  drover-sim run --server coap://127.0.0.1 --lwm2m 1.2 --all-objects --fault swallows-composite --fault answers-after=3s
  drover credentials add --endpoint lamp-1 --oscore-client-id 0a --oscore-server-id 00 \\
    --oscore-master-secret 000102030405060708090a0b0c0d0e0f
  echo lamp-1,0a,00,000102030405060708090a0b0c0d0e0f > contexts.csv
  drover-sim run --server coap+tcp://127.0.0.1 --oscore-file contexts.csv";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Run a fleet until it is interrupted.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Measure a server; the result is one line of JSON.
    #[command(subcommand)]
    Bench(Bench),
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Registrations per second, with the handshake or connection that the server URL asks for.
    Register(Register),
    /// Reads per second by way of the public API, and how long a caller waits for the answer.
    Read(Read),
    /// Requests of devices over DTLS sessions, also by way of another node than the one that made them.
    Request(Request),
    /// Notifications per second, from the devices to whoever observes them by way of the public API.
    Notify(Notify),
    /// Durable writes per second: accepted by the public API, and delivered to devices that were asleep.
    Commands(Commands),
}

/// What a fleet consists of.
#[derive(Clone, Debug, Args)]
pub struct FleetArgs {
    /// SCHEME://HOST[:PORT] with coap (UDP), coaps (DTLS), coap+tcp (TCP) or coaps+tcp (TLS)
    #[arg(long, value_name = "URL")]
    pub server: ServerUrl,
    /// Number of devices [default: 1, or as many as the PSK file or the OSCORE file has]
    #[arg(long, value_name = "N")]
    pub devices: Option<usize>,
    /// Device number n is called this followed by n in six digits
    #[arg(long, value_name = "TEXT", default_value = "sim-")]
    pub endpoint_prefix: String,
    /// Number of the first device
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub first: usize,
    /// CSV of endpoint,identity,key with the key in hexadecimal, for coaps; one device a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["psk_identity_prefix", "psk_key"])]
    pub psk_file: Option<PathBuf>,
    /// PSK identity of a device: this followed by its number [default: the endpoint prefix]
    #[arg(long, value_name = "TEXT", requires = "psk_key")]
    pub psk_identity_prefix: Option<String>,
    /// PSK of every device, in hexadecimal
    #[arg(long, value_name = "HEX")]
    pub psk_key: Option<String>,
    /// PEM file with the authorities that vouch for the server, for coaps+tcp
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// CSV of endpoint,client-id,server-id,master-secret[,master-salt[,id-context]] with all but the endpoint in
    /// hexadecimal, as `drover credentials add --oscore-…` takes them; one device a line. OSCORE must not use a number
    /// twice, so the starts of the file's devices are counted in a file beside it (FILE.starts): keep the two together
    #[arg(long, value_name = "FILE")]
    pub oscore_file: Option<PathBuf>,
    /// DTLS Connection ID: none, or the length of the one that devices want to receive
    #[arg(long, value_name = "none|LENGTH", default_value = "0", value_parser = parse_cid)]
    pub cid: CidOffer,
    /// Registration lifetime in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub lifetime: u32,
    /// LwM2M release: 1.0, 1.1 or 1.2
    #[arg(
        long = "lwm2m",
        alias = "version",
        value_name = "RELEASE",
        default_value = "1.1"
    )]
    pub release: LwM2mVersion,
    /// Makes the fleet behave the same again; also makes its secrets predictable
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Threads that drive devices
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
}

/// `drover-sim run`.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub struct Run {
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// How often the temperature of a device moves; 0s keeps it
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub temperature_interval: Duration,
    /// Devices started per second; 0 starts all at once
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub rate: u32,
    /// Devices sleep between their messages
    #[arg(long)]
    pub queue_mode: bool,
    /// Notifications are confirmable
    #[arg(long)]
    pub confirmable: bool,
    /// What becomes of firmware, which devices take from their server and get from coap:// and http:// URIs: succeeds, out-of-storage, fails-integrity-check, fails-update, or a result of /5/0/5, result-2 to result-9
    #[arg(long, value_name = "OUTCOME", default_value = "succeeds", value_parser = parse_firmware)]
    pub firmware: FirmwareBehaviour,
    /// Devices have every object that the simulator knows: access control, connectivity statistics, software, cellular, portfolio,
    /// binary app data, event log, gateway and components besides the usual ones; each costs memory
    #[arg(long)]
    pub all_objects: bool,
    /// What devices get wrong, may be given several times; an unknown name tells the known ones
    #[arg(long = "fault", value_name = "NAME[=VALUE]", value_parser = fault::parse)]
    pub faults: Vec<Fault>,
    /// Stop after this long
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Deregister all devices at the end
    #[arg(long)]
    pub deregister: bool,
    /// Form of the output; json has a line for every event of a device
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// Time between two lines of progress
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub progress: Duration,
}

/// `drover-sim bench register`.
#[derive(Debug, Args)]
pub struct Register {
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Registrations under way at once
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub concurrency: usize,
    /// Devices that are not registered after this long have failed
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// `drover-sim bench read`.
#[derive(Debug, Args)]
pub struct Read {
    /// Public API of a state node
    #[arg(long, value_name = "HOST:PORT", env = "DROVER_API")]
    pub api: String,
    /// Registered devices, separated by commas; each caller reads one after the other
    #[arg(
        long = "endpoint",
        value_name = "NAMES",
        value_delimiter = ',',
        required = true
    )]
    pub endpoints: Vec<String>,
    /// What to read
    #[arg(long, value_name = "PATH", default_value = "/3/0/0")]
    pub path: String,
    /// Reads under way at once; they share one connection
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub callers: usize,
    /// Reads in all
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub reads: usize,
    /// Stop after this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// `drover-sim bench request`.
#[derive(Debug, Args)]
pub struct Request {
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// What to ask: get for what a node answers by itself, update for a registration's renewal
    #[arg(long, value_enum, default_value_t = Ask::Get)]
    pub ask: Ask,
    /// Requests of each device, one after the other
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_positive)]
    pub requests: usize,
    /// Devices under way at once
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub concurrency: usize,
    /// Tell when all sessions are there, then measure once for each line on standard input: coaps URLs of the nodes to
    /// send to, in turn, whichever node made the session
    #[arg(long)]
    pub wait: bool,
    /// Devices that have no session, and then no answers, after this long have failed
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// `drover-sim bench notify`.
#[derive(Debug, Args)]
pub struct Notify {
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Public API of a state node
    #[arg(long, value_name = "HOST:PORT", env = "DROVER_API")]
    pub api: String,
    /// Time between two notifications of a device
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub interval: Duration,
    /// How long to count
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// Fails if the devices are not all registered after this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// `drover-sim bench commands`.
#[derive(Debug, Args)]
pub struct Commands {
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Public API of a state node
    #[arg(long, value_name = "HOST:PORT", env = "DROVER_API")]
    pub api: String,
    /// Writes to each device
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_positive)]
    pub commands: usize,
    /// Write a firmware package of so many bytes instead of a short text
    #[arg(long, value_name = "N")]
    pub bytes: Option<usize>,
    /// Use queue mode, and wait so long after the last registration that the server takes the devices to be asleep; they
    /// wake up once all writes are accepted
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub asleep: Option<Duration>,
    /// Tell when all writes are accepted, and stay asleep until a signal
    #[arg(long, requires = "asleep")]
    pub stay: bool,
    /// Writes under way to the API at once
    #[arg(long, value_name = "N", default_value = "256", value_parser = parse_positive)]
    pub concurrency: usize,
    /// Writes that are not delivered after this long have failed
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// What a device asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ask {
    /// A resource that no LwM2M server has: the node answers 4.04 by itself.
    Get,
    /// The renewal of its registration, which is committed.
    Update,
}

fn parse_positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("not a number above 0".to_owned()),
    }
}

fn parse_cid(text: &str) -> Result<CidOffer, String> {
    match text {
        "none" => Ok(CidOffer::None),
        length => match length.parse() {
            Ok(length @ 0..=32) => Ok(CidOffer::Length(length)),
            _ => Err("neither none nor a length from 0 to 32".to_owned()),
        },
    }
}

fn parse_firmware(text: &str) -> Result<FirmwareBehaviour, String> {
    match text {
        "succeeds" => Ok(FirmwareBehaviour::Succeeds),
        "out-of-storage" => Ok(FirmwareBehaviour::FailsDownload(2)),
        "fails-integrity-check" => Ok(FirmwareBehaviour::FailsDownload(5)),
        "fails-update" => Ok(FirmwareBehaviour::FailsUpdate),
        _ => {
            let result = text
                .strip_prefix("result-")
                .and_then(|one| one.parse().ok());
            match result {
                Some(8) => Ok(FirmwareBehaviour::FailsUpdate),
                Some(result @ 2..=9) => Ok(FirmwareBehaviour::FailsDownload(result)),
                _ => Err("unknown outcome; result-2 to result-9 are those of /5/0/5".to_owned()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn connection_ids_are_none_or_a_length() {
        assert_eq!(parse_cid("none"), Ok(CidOffer::None));
        assert_eq!(parse_cid("8"), Ok(CidOffer::Length(8)));
        assert!(parse_cid("33").is_err() && parse_cid("-1").is_err());
    }
}
