//! Which nodes there are and where they listen; kept in the directory, because state nodes know each other by address.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::dev::Options;
use crate::dev::home::Home;
use crate::endpoints::write_atomically;

const STATE_NODES: u8 = 3;
const INGRESS_NODES: u8 = 2;
const BOOTSTRAP_NODES: u8 = 1;

/// The ports of all nodes, on 127.0.0.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub(crate) state: Vec<StatePorts>,
    pub(crate) ingress: Vec<IngressPorts>,
    #[serde(default)]
    pub(crate) bootstrap: Vec<IngressPorts>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatePorts {
    pub(crate) api: u16,
    pub(crate) internal: u16,
    pub(crate) admin: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IngressPorts {
    pub(crate) coap: Option<u16>,
    pub(crate) coaps: u16,
    #[serde(default)]
    pub(crate) tcp: Option<u16>,
    #[serde(default)]
    pub(crate) tls: Option<u16>,
    pub(crate) admin: u16,
}

/// `host:port` of a port of this machine.
pub(crate) fn local(port: u16) -> String {
    format!("{}:{port}", Ipv4Addr::LOCALHOST)
}

impl Layout {
    /// The layout of an earlier run in this directory, as far as its ports are free, or a new one.
    pub(crate) fn of(home: &Home, options: &Options) -> anyhow::Result<Self> {
        let file = home.path().join("layout.json");
        let earlier = match std::fs::read_to_string(&file) {
            Ok(text) => Some(
                serde_json::from_str(&text)
                    .with_context(|| format!("cannot read {}", file.display()))?,
            ),
            Err(_) => None,
        };
        let layout = Self::plan(earlier, options, &mut Ports::default())?;
        write_atomically(&file, &layout)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(layout)
    }

    fn plan(earlier: Option<Self>, options: &Options, ports: &mut Ports) -> anyhow::Result<Self> {
        let state = match &earlier {
            Some(earlier) => {
                let known = earlier.state.len();
                let asked = options.state_nodes.map_or(known, usize::from);
                ensure!(
                    asked == known,
                    "the directory holds a cluster of {known} state nodes, not {asked}"
                );
                again(&earlier.state, options, ports)?
            }
            None => new(options, ports)?,
        };
        let known = earlier.is_some();
        let (earlier, bootstrap) = earlier
            .map(|earlier| (earlier.ingress, earlier.bootstrap))
            .unwrap_or_default();
        let count = options
            .ingress_nodes
            .map_or_else(|| earlier.len().max(1), usize::from);
        let count = if earlier.is_empty() && options.ingress_nodes.is_none() {
            INGRESS_NODES.into()
        } else {
            count
        };
        let ingress = (0..count)
            .map(|index| ingress(index, earlier.get(index), options, ports))
            .collect();
        let ingress = collected(ingress)?;
        let known = known.then_some(bootstrap.len());
        let count = options.bootstrap_nodes.map_or_else(
            || known.unwrap_or_else(|| BOOTSTRAP_NODES.into()),
            usize::from,
        );
        // Ports that are asked for are those of the first ingress node.
        let options = Options {
            coaps_port: None,
            coap_port: None,
            tcp: false,
            tls: false,
            ..options.clone()
        };
        let bootstrap = (0..count)
            .map(|index| self::ingress(index, bootstrap.get(index), &options, ports))
            .collect();
        Ok(Self {
            state,
            ingress,
            bootstrap: collected(bootstrap)?,
        })
    }

    /// Internal addresses of the state nodes, in the order that all of them share.
    pub(crate) fn seeds(&self) -> Vec<String> {
        self.state.iter().map(|node| local(node.internal)).collect()
    }

    /// API addresses of the state nodes.
    pub(crate) fn apis(&self) -> Vec<String> {
        self.state.iter().map(|node| local(node.api)).collect()
    }
}

fn collected<T>(all: Vec<anyhow::Result<T>>) -> anyhow::Result<Vec<T>> {
    all.into_iter().collect()
}

fn again(
    earlier: &[StatePorts],
    options: &Options,
    ports: &mut Ports,
) -> anyhow::Result<Vec<StatePorts>> {
    let all = earlier.iter().enumerate().map(|(index, node)| {
        let wanted = options.api_port.filter(|_| index == 0);
        let internal = ports.exactly(node.internal, Kind::Tcp).with_context(|| {
            format!(
                "state-{index} is known to the cluster by port {}, which another program uses: end that program, or \
                 start a new cluster in another --dir",
                node.internal
            )
        })?;
        Ok(StatePorts {
            api: ports.wanted_or(wanted, Some(node.api), Kind::Tcp)?,
            internal,
            admin: ports.wanted_or(None, Some(node.admin), Kind::Tcp)?,
        })
    });
    collected(all.collect())
}

fn new(options: &Options, ports: &mut Ports) -> anyhow::Result<Vec<StatePorts>> {
    let all = (0..options.state_nodes.unwrap_or(STATE_NODES)).map(|index| {
        let wanted = options.api_port.filter(|_| index == 0);
        Ok(StatePorts {
            api: ports.wanted_or(wanted, None, Kind::Tcp)?,
            internal: ports.wanted_or(None, None, Kind::Tcp)?,
            admin: ports.wanted_or(None, None, Kind::Tcp)?,
        })
    });
    collected(all.collect())
}

fn ingress(
    index: usize,
    earlier: Option<&IngressPorts>,
    options: &Options,
    ports: &mut Ports,
) -> anyhow::Result<IngressPorts> {
    let first = index == 0;
    let mut if_asked = |asked: bool, wanted, before, kind| {
        asked
            .then(|| ports.wanted_or(wanted, before, kind))
            .transpose()
    };
    let coap_port = options.coap_port.filter(|_| first);
    let before = |port: fn(&IngressPorts) -> Option<u16>| earlier.and_then(port);
    let coap = if_asked(options.coap, coap_port, before(|node| node.coap), Kind::Udp)?;
    let tcp = if_asked(options.tcp, None, before(|node| node.tcp), Kind::Tcp)?;
    let tls = if_asked(options.tls, None, before(|node| node.tls), Kind::Tcp)?;
    Ok(IngressPorts {
        coap,
        tcp,
        tls,
        coaps: ports.wanted_or(
            options.coaps_port.filter(|_| first),
            earlier.map(|node| node.coaps),
            Kind::Udp,
        )?,
        admin: ports.wanted_or(None, earlier.map(|node| node.admin), Kind::Tcp)?,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Udp,
}

/// Ports that were given out, so that none is given out twice.
#[derive(Debug, Default)]
struct Ports {
    taken: BTreeSet<u16>,
}

impl Ports {
    /// `wanted` or an error, else `earlier` if it is free, else any free port.
    fn wanted_or(
        &mut self,
        wanted: Option<u16>,
        earlier: Option<u16>,
        kind: Kind,
    ) -> anyhow::Result<u16> {
        if let Some(wanted) = wanted {
            return self.exactly(wanted, kind);
        }
        match earlier.map(|port| self.exactly(port, kind)) {
            Some(Ok(port)) => Ok(port),
            _ => self.any(kind),
        }
    }

    fn exactly(&mut self, port: u16, kind: Kind) -> anyhow::Result<u16> {
        bind(port, kind).with_context(|| format!("port {port} is not free"))?;
        ensure!(self.taken.insert(port), "port {port} is given twice");
        Ok(port)
    }

    fn any(&mut self, kind: Kind) -> anyhow::Result<u16> {
        // The kernel seldom gives a port again at once; some rounds are plenty.
        for _ in 0..64 {
            let port = bind(0, kind).context("no port is free")?;
            if self.taken.insert(port) {
                return Ok(port);
            }
        }
        bail!("no port is free")
    }
}

fn bind(port: u16, kind: Kind) -> std::io::Result<u16> {
    let address = (Ipv4Addr::LOCALHOST, port);
    let bound = match kind {
        Kind::Tcp => TcpListener::bind(address)?.local_addr()?,
        Kind::Udp => UdpSocket::bind(address)?.local_addr()?,
    };
    Ok(bound.port())
}

/// Where a state node keeps its data.
pub(crate) fn data(home: &Home, index: usize) -> PathBuf {
    home.path().join(format!("state-{index}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

    use std::time::Duration;

    use super::*;

    fn options() -> Options {
        Options {
            namespace: device_state::Namespace::default(),
            state_nodes: None,
            ingress_nodes: None,
            bootstrap_nodes: None,
            ingress_workers: 1,
            ingress_config: None,
            bootstrap_config: None,
            devices: 5,
            coap: false,
            tcp: false,
            tls: false,
            secure: false,
            api_port: None,
            coaps_port: None,
            coap_port: None,
            start_timeout: Duration::from_secs(1),
        }
    }

    fn plan(earlier: Option<Layout>, options: &Options) -> anyhow::Result<Layout> {
        Layout::plan(earlier, options, &mut Ports::default())
    }

    #[test]
    fn a_restart_has_the_same_layout() {
        let first = plan(None, &options()).unwrap();
        assert_eq!((first.state.len(), first.ingress.len()), (3, 2));
        assert_eq!(plan(Some(first.clone()), &options()).unwrap(), first);
    }

    #[test]
    fn a_port_that_is_taken_moves_unless_the_cluster_knows_it() {
        let first = plan(None, &options()).unwrap();
        let taken = TcpListener::bind(local(first.state[1].api)).unwrap();
        let second = plan(Some(first.clone()), &options()).unwrap();
        assert_ne!(second.state[1].api, first.state[1].api);
        assert_eq!(second.seeds(), first.seeds());
        drop(taken);
        let _taken = TcpListener::bind(local(first.state[1].internal)).unwrap();
        let refused = plan(Some(first), &options()).unwrap_err();
        assert!(
            refused.to_string().starts_with("state-1 is known"),
            "{refused}"
        );
    }

    #[test]
    fn the_number_of_state_nodes_is_fixed_and_that_of_ingress_nodes_is_not() {
        let first = plan(None, &options()).unwrap();
        let fewer = Options {
            state_nodes: Some(1),
            ..options()
        };
        assert!(plan(Some(first.clone()), &fewer).is_err());
        let more = Options {
            ingress_nodes: Some(3),
            coap: true,
            tls: true,
            ..options()
        };
        let second = plan(Some(first.clone()), &more).unwrap();
        assert_eq!(second.ingress.len(), 3);
        assert_eq!(second.ingress[0].coaps, first.ingress[0].coaps);
        let served = |node: &IngressPorts| (node.coap.is_some(), node.tcp, node.tls.is_some());
        let all = |node: &IngressPorts| served(node) == (true, None, true);
        assert!(second.ingress.iter().all(all), "{second:?}");
    }

    #[test]
    fn a_wanted_port_is_used_or_refused() {
        let free = bind(0, Kind::Tcp).unwrap();
        let wanted = Options {
            api_port: Some(free),
            ..options()
        };
        assert_eq!(plan(None, &wanted).unwrap().state[0].api, free);
        let _taken = TcpListener::bind(local(free)).unwrap();
        let refused = plan(None, &wanted).unwrap_err();
        assert_eq!(refused.to_string(), format!("port {free} is not free"));
    }
}
