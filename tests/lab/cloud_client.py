# Hetzner's own client against the lab's cloud. Arguments: the endpoint, the file of the token, the file of a public key.
import sys

from hcloud import APIException, Client
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.server_types import ServerType

endpoint, token, key = sys.argv[1:]
client = Client(token=open(token).read().strip(), api_endpoint=endpoint, poll_interval=0.2)
done = []

key = client.ssh_keys.create(name="operator", public_key=open(key).read().strip())
made = client.servers.create(
    name="by-python", server_type=ServerType(name="cx23"), image=Image(name="debian-13"),
    location=Location(name="hel1"), ssh_keys=[key], labels={"by": "python"},
)
made.action.wait_until_finished(300)
for action in made.next_actions:
    action.wait_until_finished(300)
server = client.servers.get_by_name("by-python")
assert server.status == "running", server.status
done.append("created")

assert [s.name for s in client.servers.get_all(label_selector="by=python")] == ["by-python"]
assert "cell0-node-1" in [s.name for s in client.servers.get_all()]
assert client.server_types.get_by_name("cx33") is not None
done.append("listed")

server.power_off().wait_until_finished(300)
server.reload()
assert server.status == "off", server.status
done.append("powered-off")

server.delete().wait_until_finished(300)
assert client.servers.get_by_name("by-python") is None
done.append("deleted")

try:
    client.servers.create(name="cell0-node-1", server_type=ServerType(name="cx23"), image=Image(name="debian-13"))
except APIException as error:
    assert error.code == "uniqueness_error", error.code
    done.append("refused")
print(*done)
