//! What PgBouncer does with a connection that brings options it does not know: refuses it. Others go through, and keep their session.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SSL_REQUEST: u32 = 80_877_103;
const REFUSED: &[u8] = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0";

/// Listens before the server at `to`; returns its port. It ends with the test.
pub async fn start(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A connection that breaks is the client's to notice.
                let _ = serve(stream, to).await;
            });
        }
    });
    port
}

async fn serve(mut stream: TcpStream, to: u16) -> std::io::Result<()> {
    loop {
        let length = stream.read_u32().await?;
        let mut rest = vec![0; length as usize - 4];
        stream.read_exact(&mut rest).await?;
        if rest.starts_with(&SSL_REQUEST.to_be_bytes()) {
            stream.write_all(b"N").await?;
            continue;
        }
        if rest.windows(9).any(|window| window == b"\0options\0") {
            stream.write_u8(b'E').await?;
            stream.write_u32(u32::try_from(REFUSED.len()).unwrap() + 4).await?;
            return stream.write_all(REFUSED).await;
        }
        let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
        server.write_u32(length).await?;
        server.write_all(&rest).await?;
        tokio::io::copy_bidirectional(&mut stream, &mut server).await?;
        return Ok(());
    }
}
