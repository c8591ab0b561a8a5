//! A server that answers as it is told: for what a real Redis does only on a bad day.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Answers a command, given in words, with a reply as it goes over the wire; `None` is an answer like that of a good server.
pub(crate) type Answer = fn(&[String]) -> Option<String>;

/// Starts a server, and says its URL. It ends with the test's runtime.
pub(crate) async fn redis(answer: Answer) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://127.0.0.1:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, answer));
        }
    });
    url
}

/// Until the client hangs up.
async fn serve(client: TcpStream, answer: Answer) -> Option<()> {
    let mut client = BufReader::new(client);
    loop {
        let count: usize = line(&mut client, '*').await?;
        let mut words = Vec::with_capacity(count);
        for _ in 0..count {
            let length: usize = line(&mut client, '$').await?;
            let mut word = vec![0; length + 2];
            client.read_exact(&mut word).await.ok()?;
            words.push(String::from_utf8_lossy(&word[..length]).into_owned());
        }
        words[0].make_ascii_uppercase();
        let reply = answer(&words).unwrap_or_else(|| good(&words));
        client.write_all(reply.as_bytes()).await.ok()?;
    }
}

async fn line(client: &mut BufReader<TcpStream>, kind: char) -> Option<usize> {
    let mut line = String::new();
    client.read_line(&mut line).await.ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}

fn good(words: &[String]) -> String {
    match words[0].as_str() {
        "HELLO" => "%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n".into(),
        "INFO" => info("7.0.15", "master"),
        "CONFIG" => {
            let value = match words[2].as_str() {
                "maxmemory-policy" => "noeviction",
                "appendonly" => "yes",
                "appendfsync" => "always",
                _ => "",
            };
            format!("%1\r\n{}{}", bulk(&words[2]), bulk(value))
        }
        "SCRIPT" => bulk("0123456789012345678901234567890123456789"),
        "EVAL" | "EVALSHA" => "*0\r\n".into(),
        _ => "+OK\r\n".into(),
    }
}

/// What a server of this version and role says of itself.
pub(crate) fn info(version: &str, role: &str) -> String {
    bulk(&format!("# Server\r\nredis_version:{version}\r\nrole:{role}\r\ncluster_enabled:0\r\n"))
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// A web server: whatever it is asked, it does not understand it.
pub(crate) async fn http() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://127.0.0.1:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let page = "<html><body><h1>400 Bad Request</h1></body></html>";
            let answer = format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
            // A client that hangs up first has seen enough.
            let _ = client.read(&mut request).await;
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    url
}
