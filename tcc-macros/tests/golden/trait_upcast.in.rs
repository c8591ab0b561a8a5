#[cfg(feature = "mail")]
#[participant("mail", crate = shop::tcc)]
pub trait Mail {
    #[on_confirm(version = 2, upcast(1: String))]
    async fn send(&self, _: &Branch, letter: Letter) -> Settled;
}
