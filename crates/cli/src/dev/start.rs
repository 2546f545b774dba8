//! Starting the parts in order, each when the one before is ready.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures::future::try_join_all;

use crate::api::{self, Addresses, Api};
use crate::command::credentials::import::{self, PskLine};
use crate::dev::Options;
use crate::dev::home::Home;
use crate::dev::layout::{self, IngressPorts, Layout, local};
use crate::dev::process::{Processes, Program, Role};
use crate::dev::programs::Programs;
use crate::dev::secure::Secured;
use crate::dev::tls::Certificate;
use crate::dev::{ready, simulated};
use crate::endpoints::{Endpoints, Ingress, State};
use crate::failure::Failure;
use crate::output::note;
use crate::proof::{Given, Proof};
use crate::time;

/// Memory of a state node; its defaults are for a machine of its own.
const STATE_ENVIRONMENT: [(&str, &str); 2] = [
    ("DROVER_STATE__BLOCK_CACHE_BYTES", "33554432"),
    ("DROVER_STATE__WRITE_BUFFER_BYTES", "67108864"),
];
/// How long one call of the API may take while devices are set up.
const CALL_TIME: Duration = Duration::from_secs(20);

/// Starts everything; returns when all devices are registered and `endpoints.json` is written.
pub(crate) async fn start(
    programs: &Programs,
    home: &Home,
    layout: &Layout,
    options: &Options,
    processes: &mut Processes,
) -> Result<Endpoints, Failure> {
    let longest = options.start_timeout;
    let state = start_state(programs, home, layout, options, processes)?;
    let admins = state.iter().map(|node| node.admin.clone()).collect();
    all_ready("state node", admins, longest, processes).await?;
    let ingress = start_ingress(programs, home, layout, options, processes)?;
    let bootstrap = start_bootstrap(programs, home, layout, options, processes)?;
    let admins = |nodes: &[Ingress]| nodes.iter().map(|node| node.admin.clone()).collect();
    all_ready("ingress node", admins(&ingress), longest, processes).await?;
    all_ready("bootstrap node", admins(&bootstrap), longest, processes).await?;
    if let Some(simulator) = &programs.simulator {
        let devices = simulated::devices_of(home, options.devices)?;
        let begun = Instant::now();
        let api = Api::new(apis(home, layout, options)?.connect().await?, CALL_TIME);
        import::put_all(&api, &devices).await?;
        let since = time::now();
        start_simulators(programs, simulator, home, layout, &devices, processes)?;
        unless_one_ends(processes, simulated::wait(&api, &devices, since, longest)).await?;
        note(&format!(
            "{} devices registered ({:.1}s)",
            devices.len(),
            begun.elapsed().as_secs_f32()
        ));
    }
    let endpoints = Endpoints {
        ingress,
        bootstrap,
        state,
        access: options.secure.then(Secured::files),
    };
    endpoints
        .write(home.path())
        .map_err(|error| anyhow::Error::new(error).context("cannot write endpoints.json"))?;
    Ok(endpoints)
}

/// The certificates and the policy, with `--secure`.
fn secured(home: &Home, options: &Options) -> anyhow::Result<Option<Secured>> {
    options.secure.then(|| Secured::of(home)).transpose()
}

/// The API as this process calls it.
fn apis(home: &Home, layout: &Layout, options: &Options) -> Result<Addresses, Failure> {
    let files = options.secure.then(Secured::files);
    let found = files.as_ref().map(|files| (home.path(), files));
    let proof = Proof::of(&Given::in_namespace(options.namespace.clone()), found)?;
    let apis = layout.apis();
    let apis = apis.iter().map(|api| api::secured(api, files.as_ref()));
    Ok(Addresses::given(apis.collect(), proof))
}

fn start_state(
    programs: &Programs,
    home: &Home,
    layout: &Layout,
    options: &Options,
    processes: &mut Processes,
) -> anyhow::Result<Vec<State>> {
    let seeds = layout.seeds().join(",");
    let secured = secured(home, options)?;
    let config = secured.map(|secured| secured.state_config().display().to_string());
    let nodes = layout.state.iter().enumerate().map(|(index, ports)| {
        let (api, internal, admin) = (local(ports.api), local(ports.internal), local(ports.admin));
        let data = layout::data(home, index).display().to_string();
        let key = home.cluster_key().display().to_string();
        let mut arguments = flags(&[
            ("--data-dir", &data),
            ("--api-listen", &api),
            ("--internal-listen", &internal),
            ("--internal-advertise", &internal),
            ("--admin-listen", &admin),
            ("--seeds", &seeds),
            ("--cluster-name", "dev"),
            ("--cluster-key-file", &key),
        ]);
        arguments.extend(
            config
                .iter()
                .flat_map(|config| flags(&[("--config", config)])),
        );
        let pid = processes.start(Program {
            name: format!("state-{index}"),
            role: Role::State,
            own: &programs.own,
            path: &programs.state,
            arguments,
            environment: &STATE_ENVIRONMENT,
        })?;
        Ok(State {
            api,
            internal,
            admin,
            pid,
        })
    });
    nodes.collect()
}

fn start_ingress(
    programs: &Programs,
    home: &Home,
    layout: &Layout,
    options: &Options,
    processes: &mut Processes,
) -> anyhow::Result<Vec<Ingress>> {
    let certificate = options.tls.then(|| Certificate::of(home)).transpose()?;
    let mut environment: Vec<_> = certificate.iter().flat_map(Certificate::settings).collect();
    let settings = secured(home, options)?.map(|secured| secured.ingress_settings());
    let settings = settings.iter().flatten();
    environment.extend(settings.map(|(name, value)| (*name, value.as_str())));
    let edge = Edge {
        programs,
        home,
        seeds: layout.seeds().join(","),
        options,
        name: "ingress",
        config: options.ingress_config.as_deref(),
        further: &[],
        environment: &environment,
    };
    edge.start(&layout.ingress, processes)
}

/// Bootstrap nodes are ingress nodes with another role. Without security they serve anybody, as the others do.
fn start_bootstrap(
    programs: &Programs,
    home: &Home,
    layout: &Layout,
    options: &Options,
    processes: &mut Processes,
) -> anyhow::Result<Vec<Ingress>> {
    let mut environment = Vec::new();
    if options.coap {
        environment.push(("DROVER_INGRESS__BOOTSTRAP_FOR", "anyone"));
    }
    let settings = secured(home, options)?.map(|secured| secured.ingress_settings());
    let settings = settings.iter().flatten();
    environment.extend(settings.map(|(name, value)| (*name, value.as_str())));
    let edge = Edge {
        programs,
        home,
        seeds: layout.seeds().join(","),
        options,
        name: "bootstrap",
        // What is served on which port is another matter than with the others.
        config: options.bootstrap_config.as_deref(),
        further: &[("--role", "bootstrap")],
        environment: &environment,
    };
    edge.start(&layout.bootstrap, processes)
}

/// What nodes that serve devices are started with.
struct Edge<'a> {
    programs: &'a Programs,
    home: &'a Home,
    seeds: String,
    options: &'a Options,
    name: &'a str,
    config: Option<&'a Path>,
    further: &'a [(&'a str, &'a str)],
    environment: &'a [(&'a str, &'a str)],
}

impl Edge<'_> {
    fn start(
        &self,
        layout: &[IngressPorts],
        processes: &mut Processes,
    ) -> anyhow::Result<Vec<Ingress>> {
        let nodes = layout.iter().enumerate();
        nodes
            .map(|(index, ports)| self.start_node(index, ports, processes))
            .collect()
    }

    fn start_node(
        &self,
        index: usize,
        ports: &IngressPorts,
        processes: &mut Processes,
    ) -> anyhow::Result<Ingress> {
        let workers = self.options.ingress_workers.to_string();
        let (coaps, admin) = (local(ports.coaps), local(ports.admin));
        let [coap, tcp, tls] = [ports.coap, ports.tcp, ports.tls].map(|port| port.map(local));
        let key = self.home.cluster_key().display().to_string();
        let name = format!("{}-{index}", self.name);
        let mut arguments = flags(&[
            ("--name", &name),
            ("--coaps-listen", &coaps),
            ("--admin-listen", &admin),
            ("--state", &self.seeds),
            ("--cluster-key-file", &key),
            ("--forward-listen", "127.0.0.1:0"),
            ("--workers", &workers),
        ]);
        arguments.extend(flags(self.further));
        if !self.options.namespace.is_default() {
            arguments.extend(flags(&[("--namespace", self.options.namespace.as_str())]));
        }
        for (flag, address) in [
            ("--coap-listen", &coap),
            ("--coap-tcp-listen", &tcp),
            ("--coaps-tcp-listen", &tls),
        ] {
            arguments.extend(address.iter().flat_map(|address| flags(&[(flag, address)])));
        }
        if let Some(file) = &self.config {
            arguments.extend(flags(&[("--config", &file.display().to_string())]));
        }
        let pid = processes.start(Program {
            name,
            role: Role::Ingress,
            own: &self.programs.own,
            path: &self.programs.ingress,
            arguments,
            environment: self.environment,
        })?;
        Ok(Ingress {
            coap,
            coaps: Some(coaps),
            tcp,
            tls,
            admin,
            pid,
        })
    }
}

fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()])
        .collect()
}

/// One simulator for each ingress node, with an equal part of the devices.
fn start_simulators(
    programs: &Programs,
    simulator: &Path,
    home: &Home,
    layout: &Layout,
    devices: &[PskLine],
    processes: &mut Processes,
) -> anyhow::Result<()> {
    let keys = simulated::file(home).display().to_string();
    let each = devices.len().div_ceil(layout.ingress.len()).max(1);
    for (index, (node, part)) in layout.ingress.iter().zip(devices.chunks(each)).enumerate() {
        let server = format!("coaps://{}", local(node.coaps));
        let (first, count) = ((index * each).to_string(), part.len().to_string());
        let mut arguments = vec!["run".to_owned()];
        arguments.extend(flags(&[
            ("--server", &server),
            ("--psk-file", &keys),
            ("--first", &first),
            ("--devices", &count),
            ("--progress", "60s"),
            ("--output", "json"),
        ]));
        processes.start(Program {
            name: format!("sim-{index}"),
            role: Role::Simulator,
            own: &programs.own,
            path: simulator,
            arguments,
            environment: &[],
        })?;
    }
    Ok(())
}

/// Waits until all nodes of a kind are ready, or says why one is not.
async fn all_ready(
    kind: &str,
    admins: Vec<String>,
    longest: Duration,
    processes: &mut Processes,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let count = admins.len();
    note(&format!(
        "starting {count} {kind}{}",
        if count == 1 { "" } else { "s" }
    ));
    let waits = admins.iter().enumerate().map(|(index, admin)| async move {
        ready::wait(admin, longest)
            .await
            .map_err(|reason| (index, reason))
    });
    let ready = async {
        // All are waited for at once; the first that gives up says why.
        try_join_all(waits)
            .await
            .map(drop)
            .map_err(|(index, reason)| {
                let seconds = longest.as_secs();
                Failure::Other(anyhow!(
                    "{kind} {index} is not ready after {seconds}s: {reason}"
                ))
            })
    };
    unless_one_ends(processes, ready).await?;
    note(&format!(
        "{count} {kind}{} ready ({:.1}s)",
        if count == 1 { "" } else { "s" },
        begun.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// Until everything is up, a process that ends makes the start fail.
async fn unless_one_ends<F>(processes: &mut Processes, work: F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    tokio::select! {
        done = work => done,
        ended = processes.next_end() => Err(Failure::Other(anyhow!("{}", ended.report()))),
    }
}
