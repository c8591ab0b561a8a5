impl Mail {
    /// Sends the receipt.
    pub async fn receipt(
        &self,
        _: &Branch,
        receipt: <Self as Post>::Receipt,
    ) -> Settled {
        self.send(receipt).await
    }
}
/// The action `mail.receipt_mail` of [`Mail`], version 2.
///
/// Sends the receipt.
#[allow(dead_code, unreachable_pub)]
pub struct MailReceipt;
#[automatically_derived]
impl shop::tcc::ActionType for MailReceipt {
    const NAME: &'static ::core::primitive::str = "mail.receipt_mail";
    const VERSION: ::core::primitive::u16 = 2u16;
    const ON_CONFIRM: ::core::primitive::bool = true;
    type Request = <Mail as Post>::Receipt;
    type Output = ();
    type Error = shop::tcc::Never;
}
#[automatically_derived]
#[allow(deprecated, trivial_bounds, unused_variables)]
impl shop::tcc::Handler<MailReceipt> for Mail
where
    Mail: ::core::marker::Send + ::core::marker::Sync,
{
    fn r#try(
        &self,
        __cx: &shop::tcc::Branch,
        __request: <MailReceipt as shop::tcc::ActionType>::Request,
    ) -> impl ::core::future::Future<
        Output = shop::tcc::Tried<
            <MailReceipt as shop::tcc::ActionType>::Output,
            <MailReceipt as shop::tcc::ActionType>::Error,
        >,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
    }
    fn confirm(
        &self,
        __cx: &shop::tcc::Branch,
        __request: <MailReceipt as shop::tcc::ActionType>::Request,
        __output: <MailReceipt as shop::tcc::ActionType>::Output,
    ) -> impl ::core::future::Future<
        Output = shop::tcc::Settled,
    > + ::core::marker::Send {
        Self::receipt(self, __cx, __request)
    }
    fn cancel(
        &self,
        __cx: &shop::tcc::Branch,
        __request: <MailReceipt as shop::tcc::ActionType>::Request,
        __output: ::core::option::Option<<MailReceipt as shop::tcc::ActionType>::Output>,
    ) -> impl ::core::future::Future<
        Output = shop::tcc::Settled,
    > + ::core::marker::Send {
        ::core::future::ready(::core::result::Result::Ok(()))
    }
}
#[automatically_derived]
#[allow(deprecated, trivial_bounds)]
impl shop::tcc::Service for Mail
where
    Mail: ::core::marker::Send + ::core::marker::Sync,
{
    fn register(self: ::std::sync::Arc<Self>, __registry: &mut shop::tcc::Registry) {
        shop::tcc::Registry::add::<
            MailReceipt,
            Self,
        >(__registry, ::core::clone::Clone::clone(&self));
    }
}
/// The actions of [`Mail`] as branches of a transaction: what `tx.on` returns.
#[allow(dead_code, unreachable_pub)]
pub struct MailStub<'t>(&'t shop::tcc::Tx);
#[allow(dead_code, unreachable_pub, private_interfaces)]
impl<'t> MailStub<'t> {
    /// Sends the receipt.
    pub fn receipt(
        &self,
        receipt: <Mail as Post>::Receipt,
    ) -> impl ::core::future::Future<
        Output = ::core::result::Result<(), shop::tcc::TransactionError>,
    > + ::core::marker::Send + use<'t> {
        let __tx = self.0;
        async move { shop::tcc::Tx::enlist::<MailReceipt>(__tx, receipt) }
    }
}
#[automatically_derived]
impl shop::tcc::Participant for Mail {
    const NAME: &'static ::core::primitive::str = "mail";
    type Stub<'t> = MailStub<'t>;
    fn stub(__tx: &shop::tcc::Tx) -> MailStub<'_> {
        MailStub(__tx)
    }
}
