//! As much of Redis' protocol as it takes to ask one question after the other.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(super) fn connect(port: u16, password: Option<&str>) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        let mut client = Self { stream: BufReader::new(stream) };
        if let Some(password) = password {
            client.call(&["AUTH", password])?;
        }
        Ok(client)
    }

    pub(super) fn call(&mut self, command: &[&str]) -> io::Result<String> {
        let mut request = format!("*{}\r\n", command.len());
        for word in command {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let Some(line) = line.strip_suffix("\r\n") else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        match line.split_at_checked(1) {
            Some(("+" | ":", text)) => Ok(text.into()),
            Some(("-", error)) => Err(io::Error::other(error)),
            Some(("$" | "*", "-1")) => Ok(String::new()),
            Some(("$", length)) => self.bulk(number(length)?),
            Some(("*", length)) => {
                let items = (0..number(length)?).map(|_| self.reply()).collect::<io::Result<Vec<_>>>()?;
                Ok(items.join("\n"))
            }
            _ => Err(not_redis(line)),
        }
    }

    fn bulk(&mut self, length: usize) -> io::Result<String> {
        let mut text = vec![0; length + "\r\n".len()];
        self.stream.read_exact(&mut text)?;
        text.truncate(length);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn number(text: &str) -> io::Result<usize> {
    text.parse().map_err(|_| not_redis(text))
}

fn not_redis(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a reply of Redis: {line:?}"))
}
