//! The certificate of the server, and its options of TLS.

use tokio_rustls::rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
};
use tower_upgrade::BoxError;

/// Makes a certificate for `localhost` that nobody has signed.
pub(crate) fn self_signed() -> Result<ServerConfig, BoxError> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    config(vec![made.cert.into()], key.into())
}

/// Reads a chain of certificates and a key from PEM files.
pub(crate) fn read(certificate: &str, key: &str) -> Result<ServerConfig, BoxError> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    config(chain, PrivateKeyDer::from_pem_file(key)?)
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, BoxError> {
    let builder = ServerConfig::builder().with_no_client_auth();
    Ok(builder.with_single_cert(chain, key)?)
}
