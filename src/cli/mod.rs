//! The command line: one file per subcommand. Only here, in `render` and in `main` is anything written to the
//! terminal.

#[cfg(all(feature = "lab", target_os = "linux"))]
pub mod lab;
