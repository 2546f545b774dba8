#![expect(clippy::unwrap_used, reason = "a failed unwrap is the test's failure")]

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_definition_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn as_a_plugin_the_help_says_kubectl() {
    let command = named_as_called(
        Arguments::command(),
        Some("/usr/local/bin/kubectl-drover".into()),
    );
    let error = command
        .try_get_matches_from(["kubectl-drover", "--help"])
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Usage: kubectl drover [OPTIONS] <COMMAND>"),
        "{error}"
    );
}

#[test]
fn global_options_may_follow_the_command() {
    let parse = |words: &[&str]| Arguments::try_parse_from(words.iter().copied());
    let arguments = parse(&[
        "drover",
        "devices",
        "--api",
        "a:1,b:2",
        "-o",
        "json",
        "--timeout",
        "500ms",
    ])
    .unwrap();
    assert_eq!(arguments.global.api, ["a:1", "b:2"]);
    assert_eq!(arguments.global.output, Format::Json);
    assert_eq!(arguments.global.timeout, Duration::from_millis(500));
    assert!(parse(&["drover", "devices", "--timeout", "0s"]).is_err());
    assert!(parse(&["drover", "read", "dev-1", "/x"]).is_err());
    assert!(parse(&["drover", "read", "dev-1", "3/0/0"]).is_ok());
}

/// Every help text, as it is on a wide terminal.
#[test]
fn the_help_is_as_reviewed() {
    let mut command = Arguments::command().term_width(100);
    command.build();
    let mut text = String::new();
    render(&mut command, &mut text);
    insta::assert_snapshot!("help", text);
}

fn render(command: &mut clap::Command, text: &mut String) {
    text.push_str(&format!(
        "$ {} --help\n",
        command.get_bin_name().unwrap_or("drover")
    ));
    text.push_str(&command.render_help().to_string());
    text.push('\n');
    let visible = command
        .get_subcommands_mut()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    for sub in visible {
        render(sub, text);
    }
}
