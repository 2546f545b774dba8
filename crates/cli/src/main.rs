//! The drover command line: manages the devices of a cluster, and starts a cluster on one machine.
//!
//! It owns arguments, output and exit codes. Every command but `dev` is a client of the public API (`drover.v1`) and
//! keeps nothing; `dev` starts the real node processes as its children. It never talks to a device itself.

mod api;
mod arguments;
mod command;
mod dev;
mod endpoints;
mod failure;
mod model;
mod output;
mod package;
mod proof;
mod rest;
mod selector;
mod table;
mod tether;
mod time;
mod token;
mod view;
mod wanted;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::arguments::Arguments;
use crate::failure::Failure;

fn main() -> ExitCode {
    let matches =
        arguments::named_as_called(Arguments::command(), std::env::args_os().next()).get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    // One thread: children of `dev` are bound to the life of the thread that started them.
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::Other(anyhow::Error::new(error).context("cannot start the runtime"))
        })
        .and_then(|runtime| runtime.block_on(Box::pin(command::run(arguments))));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_closed_pipe() {
                // Nobody is left to tell if standard error is closed too.
                let _ = write!(std::io::stderr(), "{}", failure.report());
            }
            failure.exit_code()
        }
    }
}
