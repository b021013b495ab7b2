//! The commands that are one question and one answer: members, cluster, tags, keys, coordinates, numbers
//! (`docs/spec/rpc.md` 7.4 to 7.11).

use folkmoot_proto::{
    AgentRequest, CoordinateRequest, CoordinateResponse, ForceLeaveRequest, HandlerRequest, HandlersResponse,
    JoinRequest, JoinResponse, KeyRequest, KeyResponse, Member, MembersFilteredRequest, MembersResponse, StatsResponse,
    TagsRequest, Text,
};

use crate::client::Client;
use crate::connection::{decode_body, succeeded};
use crate::error::Error;

/// Whether a member that is made to leave is erased as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// It stays in the list as `left` until it is reaped.
    Keep,
    /// It is erased at once.
    Erase,
}

impl Client {
    /// All members the agent knows, failed and left ones too, in no particular order.
    ///
    /// ```no_run
    /// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
    /// let alive = client.members().await?.into_iter().filter(|member| member.status == "alive").count();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Auth`], [`Error::Closed`].
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        Ok(self.call_for::<MembersResponse>(AgentRequest::Members).await?.members)
    }

    /// The members that match.
    ///
    /// ```no_run
    /// use folkmoot_client::MembersFilteredRequest;
    ///
    /// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
    /// let tags = [("role".into(), "web|db".into())].into();
    /// let filter = MembersFilteredRequest { status: "alive".into(), tags, ..Default::default() };
    /// let members = client.members_filtered(filter).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`] also for an expression that the agent cannot read: it closes the connection.
    pub async fn members_filtered(&self, filter: MembersFilteredRequest) -> Result<Vec<Member>, Error> {
        Ok(self.call_for::<MembersResponse>(AgentRequest::MembersFiltered(filter)).await?.members)
    }

    /// Makes the agent join the clusters at `addresses`; how many were contacted. With `replay`, user events from
    /// before the join are delivered too.
    ///
    /// # Errors
    /// [`Error::Remote`] if none could be contacted.
    pub async fn join(
        &self,
        addresses: impl IntoIterator<Item = impl Into<Text>>,
        replay: bool,
    ) -> Result<usize, Error> {
        let existing = addresses.into_iter().map(Into::into).collect();
        let response: JoinResponse = self.call_for(AgentRequest::Join(JoinRequest { existing, replay })).await?;
        Ok(usize::try_from(response.num).unwrap_or_default())
    }

    /// Makes the agent leave its cluster and stop. It closes the connection afterwards.
    ///
    /// # Errors
    /// [`Error::Remote`] if it is leaving already.
    pub async fn leave(&self) -> Result<(), Error> {
        self.call(AgentRequest::Leave).await
    }

    /// Makes the cluster take `node` for one that left. A node that is alive comes back.
    ///
    /// # Errors
    /// [`Error::Auth`], [`Error::Closed`]. An unknown node is a success.
    pub async fn force_leave(&self, node: impl Into<Text>, prune: Prune) -> Result<(), Error> {
        let request = ForceLeaveRequest { node: node.into(), prune: prune == Prune::Erase };
        self.call(AgentRequest::ForceLeave(request)).await
    }

    /// Changes the agent's own tags: removes `delete_tags`, then sets `tags`.
    ///
    /// # Errors
    /// [`Error::Remote`] if the tags would be longer than the cluster allows.
    pub async fn tags(&self, change: TagsRequest) -> Result<(), Error> {
        self.call(AgentRequest::Tags(change)).await
    }

    /// The agent's numbers: section, key, value.
    ///
    /// # Errors
    /// [`Error::Auth`], [`Error::Closed`].
    pub async fn stats(&self) -> Result<StatsResponse, Error> {
        self.call_for(AgentRequest::Stats).await
    }

    /// The network coordinate of `node`; `None` if the agent has none for it.
    ///
    /// # Errors
    /// [`Error::Auth`], [`Error::Closed`].
    pub async fn coordinate(&self, node: impl Into<Text>) -> Result<Option<folkmoot_proto::Coordinate>, Error> {
        let request = CoordinateRequest { node: node.into() };
        let response: CoordinateResponse = self.call_for(AgentRequest::GetCoordinate(request)).await?;
        Ok(response.ok.then_some(response.coord))
    }

    /// The agent's event handlers, in the order in which they are run. Folkmoot agents only.
    ///
    /// # Errors
    /// [`Error::Remote`] (`Unsupported command`) from a Go agent, which closes the connection.
    pub async fn handlers(&self) -> Result<HandlersResponse, Error> {
        self.call_for(AgentRequest::HandlersList).await
    }

    /// Registers an event handler, written as for the flag `-event-handler`, until it is removed or the agent stops.
    /// Folkmoot agents only, if they were started with `-rpc-handlers`.
    ///
    /// ```no_run
    /// # async fn example(client: folkmoot_client::Client) -> Result<(), folkmoot_client::Error> {
    /// client.add_handler("member-failed=http://127.0.0.1:8080/failed").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Remote`] if it cannot be read, is registered already, or the agent does not allow it.
    pub async fn add_handler(&self, handler: impl Into<Text>) -> Result<(), Error> {
        self.call(AgentRequest::HandlersAdd(HandlerRequest { handler: handler.into() })).await
    }

    /// Removes an event handler, named as it was written. One of the agent's configuration returns with a reload.
    /// Folkmoot agents only, if they were started with `-rpc-handlers`.
    ///
    /// # Errors
    /// [`Error::Remote`] if there is none like it, or the agent does not allow it.
    pub async fn remove_handler(&self, handler: impl Into<Text>) -> Result<(), Error> {
        self.call(AgentRequest::HandlersRemove(HandlerRequest { handler: handler.into() })).await
    }

    /// Adds a key (standard base64) to the key ring of every member.
    ///
    /// # Errors
    /// [`Error::Keys`] unless every member did it.
    pub async fn install_key(&self, key: impl Into<Text>) -> Result<KeyResponse, Error> {
        self.key_call(AgentRequest::InstallKey(KeyRequest { key: key.into() })).await
    }

    /// Makes an installed key the one that members encrypt with.
    ///
    /// # Errors
    /// [`Error::Keys`] unless every member did it.
    pub async fn use_key(&self, key: impl Into<Text>) -> Result<KeyResponse, Error> {
        self.key_call(AgentRequest::UseKey(KeyRequest { key: key.into() })).await
    }

    /// Removes a key from the key ring of every member.
    ///
    /// # Errors
    /// [`Error::Keys`] unless every member did it.
    pub async fn remove_key(&self, key: impl Into<Text>) -> Result<KeyResponse, Error> {
        self.key_call(AgentRequest::RemoveKey(KeyRequest { key: key.into() })).await
    }

    /// Which keys are installed, and on how many members.
    ///
    /// # Errors
    /// [`Error::Keys`] unless every member answered.
    pub async fn list_keys(&self) -> Result<KeyResponse, Error> {
        self.key_call(AgentRequest::ListKeys).await
    }

    /// Key commands have a body with an error too: it says which members failed.
    async fn key_call(&self, request: AgentRequest) -> Result<KeyResponse, Error> {
        let (command, reply) = self.exchange(request.into()).await?;
        match succeeded(command, &reply.error) {
            Err(Error::Remote { command, text }) if reply.body.is_some() => {
                Err(Error::Keys { command, text, response: Box::new(decode_body(&reply)?) })
            }
            outcome => outcome.and_then(|()| decode_body(&reply)),
        }
    }
}
