//! `rediss://`: against a real server behind a TLS endpoint.

mod common;

use std::sync::Arc;

use common::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tcc_core::protocol::Position;
use tcc_core::store::{Due, StatusStore};
use tcc_redis::{ConnectError, RedisStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority of this test alone.
struct Authority {
    pem: String,
    der: rustls::pki_types::CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn certificate(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// Decrypts what comes for the shared server, and says on which port. Clients need a certificate of `clients`, if any.
async fn endpoint(authority: &Authority, clients: Option<&Authority>) -> u16 {
    let (certificate, key) = authority.certificate("localhost");
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der.clone()).unwrap();
            let provider = Arc::new(ring::default_provider());
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(("127.0.0.1", shared().port())).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_server_with_our_root_is_trusted() {
    let authority = Authority::new();
    let port = endpoint(&authority, None).await;
    let url = format!("rediss://localhost:{port}");
    let builder = RedisStore::builder(url).namespace("tls").root_certificate(authority.pem.clone());
    let store = builder.connect().await.unwrap();
    store.append(&append(1, Position::START, 1, Due::Keep)).await.unwrap();
    assert_eq!(ops(&store.read(&shop(), tx(1)).await.unwrap().unwrap()), [1]);
}

#[tokio::test]
async fn a_server_without_it_is_not() {
    let port = endpoint(&Authority::new(), None).await;
    // Nobody trusts it; we trust another; it has another name.
    let untrusted = RedisStore::builder(format!("rediss://localhost:{port}"));
    let other = untrusted.clone().root_certificate(Authority::new().pem);
    let authority = Authority::new();
    let port = endpoint(&authority, None).await;
    let misnamed = RedisStore::builder(format!("rediss://127.0.0.1:{port}")).root_certificate(authority.pem);
    for builder in [untrusted, other, misnamed] {
        let error = builder.connect().await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Unreachable { what, .. } if what.contains("certificate")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_client_may_show_its_certificate() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let port = endpoint(&servers, Some(&clients)).await;
    let builder = RedisStore::builder(format!("rediss://localhost:{port}")).root_certificate(servers.pem);
    assert!(builder.clone().connect().await.is_err());
    let (certificate, key) = clients.certificate("shop");
    let builder = builder.client_certificate(certificate.pem(), key.serialize_pem());
    assert!(!format!("{builder:?}").contains("PRIVATE"));
    builder.connect().await.unwrap();
}

#[tokio::test]
async fn what_is_no_certificate_is_explained() {
    let error =
        RedisStore::builder("rediss://localhost").root_certificate("hush").connect().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}
