//! The plan of a campaign, from a file and from what the command line says.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{wave, window};
use crate::failure::Failure;
use crate::package::Package;
use crate::selector::Selection;
use crate::view::campaign::plan::{
    ImageView, Membership, Moment, OnFailure, PlanView, Span, Transfer, WaveView, WindowView,
};

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PlanArgs {
    /// Plan in YAML or JSON, as `drover rollout get -o json` shows it; - for standard input. What options say goes before it.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What a device says once it runs the firmware, in /3/0/3, of a component in /33629/x/15, of a software in /9/x/1;
    /// compared exactly.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// What of a device gets it: /33629/x for a component of it (Advanced Firmware Update), /9/x for a software (Software
    /// Management) [default: /5/0, its firmware].
    #[arg(long, value_name = "PATH")]
    object: Option<String>,
    /// Only over this version or a later one, such as 2.1.0 (semantic versions); other devices are skipped.
    #[arg(long, value_name = "VERSION")]
    minimum_version: Option<String>,
    /// Only over this version or an earlier one.
    #[arg(long, value_name = "VERSION")]
    maximum_version: Option<String>,
    /// Only on devices that say this in /3/0/18.
    #[arg(long, value_name = "TEXT")]
    hardware_version: Option<String>,
    /// Where the firmware is: coap, coaps, coap+tcp, coaps+tcp, http or https, or drover:sha256:… for a package of the
    /// cluster.
    #[arg(long, value_name = "URI")]
    uri: Option<String>,
    /// The firmware itself, which is stored in the cluster; in place of --uri.
    #[arg(long, value_name = "FILE", conflicts_with = "uri")]
    package: Option<PathBuf>,
    /// The package of the cluster is written to each device, such as to /5/0/0; without, a device gets a URI, such as in
    /// /5/0/1, and fetches it.
    #[arg(long)]
    push: bool,
    /// Name of the firmware, for people [default: that of the campaign].
    #[arg(long, value_name = "TEXT")]
    image_name: Option<String>,
    #[command(flatten)]
    selection: Selection,
    /// Who takes part: snapshot for who is there at the beginning, dynamic for who comes later, too.
    #[arg(long, value_enum, value_name = "WHO", hide_possible_values = true)]
    membership: Option<Membership>,
    /// A wave: NAME[:SETTING,…]. Waves come in this order; the last one takes everybody who is left.
    #[arg(long = "wave", value_name = "WAVE", value_parser = wave::parse)]
    waves: Vec<WaveView>,
    /// Devices on their way at once in the whole campaign: 200 or 5%.
    #[arg(long, value_name = "SHARE")]
    max_unavailable: Option<String>,
    /// Stop when more than this part of the devices that were registered when the wave began are not any more, such as 20%.
    #[arg(long, value_name = "PERCENT")]
    pause_when_unreachable: Option<String>,
    /// Devices begin one after the other, so long apart on average, such as 500ms or 1m [default: as fast as they can].
    #[arg(long, value_name = "TIME")]
    begin_every: Option<Span>,
    /// Devices go in an order that looks random, by this text [default: the name of the campaign].
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,
    /// What a bad wave leads to: pause, abort or rollback.
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true)]
    on_failure: Option<OnFailure>,
    /// Version that devices go back to by --on-failure rollback.
    #[arg(long, value_name = "VERSION", requires = "rollback_uri")]
    rollback_version: Option<String>,
    /// Where they get it.
    #[arg(long, value_name = "URI", requires = "rollback_version")]
    rollback_uri: Option<String>,
    #[command(flatten)]
    schedule: ScheduleArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "When devices begin")]
struct ScheduleArgs {
    /// Not before this time, such as 2026-12-24T20:00:00+01:00.
    #[arg(long, value_name = "TIME")]
    not_before: Option<Moment>,
    /// Only within [DAYS] START-END [TIME ZONE], such as "Mon-Fri 22:00-04:00 Europe/Berlin"; UTC unless named.
    #[arg(long = "window", value_name = "WINDOW", value_parser = window::parse)]
    windows: Vec<WindowView>,
    /// From the first device on; then the campaign ends with what there is.
    #[arg(long, value_name = "TIME")]
    deadline: Option<Span>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "How patient one is with a device")]
struct DeviceArgs {
    /// From its turn until it has taken the URI [default: 7d].
    #[arg(long, value_name = "TIME")]
    wake_up_deadline: Option<Span>,
    /// From there until it has the firmware [default: 24h].
    #[arg(long, value_name = "TIME")]
    download_timeout: Option<Span>,
    /// From the order to install until it runs the version [default: 30m].
    #[arg(long, value_name = "TIME")]
    install_timeout: Option<Span>,
    /// How often it is tried again if that can help, 10 at most [default: 2].
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Before the first of them; doubled each time [default: 10m].
    #[arg(long, value_name = "TIME")]
    retry_backoff: Option<Span>,
    /// Left out below this level of its battery, /3/0/9.
    #[arg(long, value_name = "PERCENT")]
    minimum_battery: Option<u32>,
}

impl PlanArgs {
    /// The plan of the campaign with this name, and the package that is to be stored for it.
    pub(crate) fn plan(self, campaign: &str) -> Result<(PlanView, Option<Package>), Failure> {
        let mut plan = match &self.file {
            Some(file) => read(file)?,
            None => PlanView::default(),
        };
        let package = self.package.as_deref().map(Package::read).transpose()?;
        self.put_into(&mut plan);
        if let Some(package) = &package {
            plan.image.uri = package.digest.package_uri();
        }
        let mut images = vec![(&mut plan.image, campaign.to_owned())];
        if let Some(image) = &mut plan.rollback_image {
            images.push((image, format!("{campaign}-rollback")));
        }
        for (image, name) in images {
            if image.name.is_empty() {
                image.name = name;
            }
        }
        if plan.image.version.is_empty() || plan.image.uri.is_empty() {
            return Err(Failure::usage(
                "which firmware is it?",
                "give its --version, and its --uri or its --package, or version and uri as image in the plan of --file",
            ));
        }
        if plan.on_failure == OnFailure::Rollback && plan.rollback_image.is_none() {
            return Err(Failure::usage(
                "--on-failure rollback: what do devices go back to?",
                "give --rollback-version and --rollback-uri",
            ));
        }
        Ok((plan, package))
    }

    fn put_into(self, plan: &mut PlanView) {
        put(&mut plan.image.version, self.version);
        put(&mut plan.image.uri, self.uri);
        put(&mut plan.image.name, self.image_name);
        put(&mut plan.image.object, self.object);
        put(&mut plan.image.minimum_version, self.minimum_version);
        put(&mut plan.image.maximum_version, self.maximum_version);
        put(&mut plan.image.hardware_version, self.hardware_version);
        put(&mut plan.filter, self.selection.filter());
        put(&mut plan.membership, self.membership);
        put(&mut plan.transfer, self.push.then_some(Transfer::Push));
        put(&mut plan.seed, self.seed);
        put(&mut plan.max_unavailable, self.max_unavailable);
        put(
            &mut plan.pause_when_unreachable,
            self.pause_when_unreachable,
        );
        if self.begin_every.is_some() {
            plan.begin_every = self.begin_every;
        }
        put(&mut plan.on_failure, self.on_failure);
        if !self.waves.is_empty() {
            plan.waves = self.waves;
        }
        if let (Some(version), Some(uri)) = (self.rollback_version, self.rollback_uri) {
            plan.rollback_image = Some(ImageView {
                name: String::new(),
                version,
                uri,
                object: plan.image.object.clone(),
                ..ImageView::default()
            });
        }
        let schedule = &mut plan.schedule;
        put_some(&mut schedule.not_before, self.schedule.not_before);
        put_some(&mut schedule.deadline, self.schedule.deadline);
        if !self.schedule.windows.is_empty() {
            schedule.windows = self.schedule.windows;
        }
        let device = &mut plan.device;
        put_some(&mut device.wake_up_deadline, self.device.wake_up_deadline);
        put_some(&mut device.download_timeout, self.device.download_timeout);
        put_some(&mut device.install_timeout, self.device.install_timeout);
        put_some(&mut device.retries, self.device.retries);
        put_some(&mut device.retry_backoff, self.device.retry_backoff);
        put(
            &mut device.minimum_battery_percent,
            self.device.minimum_battery,
        );
    }
}

fn put<T>(field: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *field = given;
    }
}

fn put_some<T>(field: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *field = given;
    }
}

/// JSON is YAML.
fn read(file: &Path) -> Result<PlanView, Failure> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let wrong = |error: String| {
        Failure::usage(
            format!("--file: {}: {error}", file.display()),
            "`drover rollout create --help` shows what a plan looks like; `drover rollout get NAME -o json | jq .plan` \
             shows that of a campaign",
        )
    };
    let text = text.map_err(|error| wrong(error.to_string()))?;
    serde_yaml_ng::from_str(&text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(disable_version_flag = true)]
    struct Line {
        #[command(flatten)]
        plan: PlanArgs,
    }

    fn plan(words: &[&str]) -> Result<PlanView, Failure> {
        let line = Line::try_parse_from([&["create"], words].concat()).unwrap();
        line.plan.plan("fw").map(|(plan, _)| plan)
    }

    #[test]
    fn options_go_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.yaml");
        let text =
            "image: {version: 1.0.0, uri: coap://h/1}\nwaves: [{name: a}]\ndevice: {retries: 5}\n";
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let read = plan(&[
            "-f",
            file,
            "--version",
            "2.0.0",
            "--retries",
            "0",
            "-l",
            "a=b",
        ])
        .unwrap();
        assert_eq!(
            (read.image.version.as_str(), read.image.uri.as_str()),
            ("2.0.0", "coap://h/1")
        );
        assert_eq!(read.image.name, "fw");
        assert_eq!(read.waves[0].name, "a");
        assert_eq!(read.device.retries, Some(0));
        assert_eq!(read.filter, r#"labels.a = "b""#);
        std::fs::write(file, "waves: {}\n").unwrap();
        let failure = plan(&["-f", file]).unwrap_err().to_string();
        assert!(
            failure.contains("plan.yaml") && failure.contains("waves"),
            "{failure}"
        );
    }

    #[test]
    fn a_fleet_that_is_not_well_stops_a_campaign_if_that_is_asked_for() {
        let words = ["--version", "2", "--uri", "coap://h/2"];
        assert_eq!(plan(&words).unwrap().pause_when_unreachable, "");
        let words = [words.as_slice(), &["--pause-when-unreachable", "20%"]].concat();
        assert_eq!(plan(&words).unwrap().pause_when_unreachable, "20%");
    }

    #[test]
    fn devices_begin_no_faster_than_is_said() {
        let words = ["--version", "2", "--uri", "coap://h/2"];
        assert_eq!(plan(&words).unwrap().begin_every, None);
        let words = [words.as_slice(), &["--begin-every", "500ms"]].concat();
        let every = plan(&words).unwrap().begin_every.map(|every| every.0);
        assert_eq!(every, Some(std::time::Duration::from_millis(500)));
    }

    #[test]
    fn a_push_is_asked_for() {
        let words = ["--version", "2", "--uri", "drover:sha256:00"];
        assert_eq!(plan(&words).unwrap().transfer, Transfer::Pull);
        let words = [words.as_slice(), &["--push"]].concat();
        assert_eq!(plan(&words).unwrap().transfer, Transfer::Push);
    }

    #[test]
    fn a_firmware_and_what_to_go_back_to_must_be_named() {
        assert!(plan(&["--version", "2"]).is_err());
        let firmware = [
            "--version",
            "2",
            "--uri",
            "coap://h/2",
            "--on-failure",
            "rollback",
        ];
        assert!(plan(&firmware).is_err());
        let back = ["--rollback-version", "1", "--rollback-uri", "coap://h/1"];
        let read = plan(&[firmware.as_slice(), &back].concat()).unwrap();
        assert_eq!(read.rollback_image.unwrap().name, "fw-rollback");
    }
}
