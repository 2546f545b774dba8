//! `rest-shim`: the REST paths of Leshan's demo servers in front of a cluster.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::api::Api;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::output::note;
use crate::rest::Listeners;

#[derive(Debug, Args)]
#[command(after_help = "\
Test suites that drive Leshan's demo servers, such as Zephyr's interoperability suite, manage the
devices of a cluster through it. There is NO AUTHENTICATION, and keys travel in the clear: it is
meant for tests, and listens on loopback unless told otherwise.

Management: /api/clients and what is below, /api/event, /api/security/clients
Bootstrap:  /api/bootstrap, /api/security/clients

It goes on until it is interrupted; observations that were started through it end with it.

Examples:
  drover rest-shim
  drover rest-shim --listen 127.0.0.1:8080 --bootstrap-listen 127.0.0.1:8081 --api 127.0.0.1:7443
  curl http://127.0.0.1:8080/api/clients
  curl 'http://127.0.0.1:8080/api/clients/sim-0001/3/0/0?format=TLV'
  curl http://127.0.0.1:8080/api/event

JSON: {\"management\", \"bootstrap\"}, the URLs, once both are served.")]
pub(crate) struct RestShim {
    /// Address of the management API; port 0 is any free one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of the bootstrap API; port 0 is any free one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8081")]
    bootstrap_listen: SocketAddr,
}

/// Where it listens.
#[derive(Debug, Serialize)]
struct Urls {
    management: String,
    bootstrap: String,
}

impl RestShim {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let api = Api::connect(global).await?;
        let listeners = Listeners {
            management: self.listen,
            bootstrap: self.bootstrap_listen,
        };
        let listening = listeners.bind().await.map_err(anyhow::Error::from)?;
        let (management, bootstrap) = listening.addresses().map_err(anyhow::Error::from)?;
        for address in [management, bootstrap] {
            if !address.ip().is_loopback() {
                note(&format!(
                    "warning: whoever reaches {address} manages all devices: there is no authentication"
                ));
            }
        }
        let urls = Urls {
            management: format!("http://{management}/api"),
            bootstrap: format!("http://{bootstrap}/api"),
        };
        global.output.show_item(&urls, |urls| {
            format!(
                "management {}\nbootstrap  {}\n",
                urls.management, urls.bootstrap
            )
        })?;
        let served = listening.serve(api).await;
        served.context("the HTTP server failed")?;
        Ok(())
    }
}
