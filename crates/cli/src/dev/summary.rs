//! What is told once everything is ready.

use std::fmt::Write as _;

use crate::dev::Options;
use crate::dev::home::Home;
use crate::dev::simulated::PREFIX;
use crate::endpoints::Endpoints;
use crate::table;

/// Addresses, and what to try next.
pub(crate) fn text(endpoints: &Endpoints, home: &Home, options: &Options) -> String {
    let state = endpoints.state.iter().enumerate().map(|(index, node)| {
        let addresses = format!(
            "api {}  internal {}  admin {}",
            node.api, node.internal, node.admin
        );
        vec![format!("state-{index}"), node.pid.to_string(), addresses]
    });
    let ingress = endpoints.ingress.iter().enumerate().map(|(index, node)| {
        let mut addresses = String::new();
        let served = [
            ("coaps", &node.coaps),
            ("coap", &node.coap),
            ("coap+tcp", &node.tcp),
            ("coaps+tcp", &node.tls),
        ];
        for (name, address) in served {
            if let Some(address) = address {
                let _ = write!(addresses, "{name} {address}  ");
            }
        }
        let _ = write!(addresses, "admin {}", node.admin);
        vec![format!("ingress-{index}"), node.pid.to_string(), addresses]
    });
    let table = table::render(&["NODE", "PID", "LISTENS"], state.chain(ingress));
    let dir = home.path().display();
    let kept = if home.is_temporary() {
        ", removed at the end"
    } else {
        ""
    };
    let device = if options.devices == 0 {
        "ENDPOINT".to_owned()
    } else {
        format!("{PREFIX}0001")
    };
    format!(
        "\n{table}\nDirectory: {dir}{kept}; logs in {dir}/logs\n\n\
         Try in another terminal:\n  \
           export DROVER_DIR={dir}\n  \
           drover devices\n  \
           drover read {device} /3/0/0\n  \
           drover observe {device} /3303/0/5700\n\n\
         Ctrl-C stops everything.\n"
    )
}
