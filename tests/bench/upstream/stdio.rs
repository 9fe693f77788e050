//! The upstream MCP server over its standard input and output, one message a line.

use std::io::{self, BufRead as _, Write as _};

use super::server::{Kind, Server};

/// Answers until the input ends.
pub(super) fn serve(server: &Server) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let mut line = Vec::new();
    let mut input = io::stdin().lock();
    while input.read_until(b'\n', &mut line)? > 0 {
        if let Some((kind, mut answer)) = server.answer(&line)
            && kind != Kind::Notification
        {
            answer.push('\n');
            output.write_all(answer.as_bytes())?;
            output.flush()?;
        }
        line.clear();
    }
    Ok(())
}
