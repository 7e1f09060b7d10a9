//! `man` and `completions`: what a package brings beside the program.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::{Error, Result};

/// For which shell.
#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the manual page, all commands in it.
///
/// # Errors
/// When stdout cannot be written to.
pub fn man() -> Result<()> {
    let cannot = |e: std::io::Error| Error::other("cannot write the manual page").with_source(e);
    let mut out = std::io::stdout();
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone())
        .render(&mut out)
        .map_err(cannot)?;
    for sub in command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
    {
        let page = clap_mangen::Man::new(sub.clone());
        let name = sub.get_name().to_uppercase();
        std::io::Write::write_all(&mut out, format!(".SH \"{name}\"\n").as_bytes()).map_err(cannot)?;
        page.render_description_section(&mut out).map_err(cannot)?;
        if sub.get_arguments().any(|argument| !argument.is_hide_set()) {
            page.render_options_section(&mut out).map_err(cannot)?;
        }
    }
    Ok(())
}

/// Prints a shell's completions.
pub fn completions(args: &Completions) {
    clap_complete::generate(args.shell, &mut Cli::command(), "odoo-eventd", &mut std::io::stdout());
}
