"""An LwM2M device on aiocoap, for tests of Drover against somebody else's protocol stack.

Arguments: ENDPOINT SERVER [--oscore FOLDER]. SERVER is the URI of the server, coap://HOST:PORT or coap+tcp://HOST:PORT;
FOLDER holds a security context as aiocoap keeps it (settings.json). It registers, serves objects 3 and 3303 on the same
transport, and prints what the server does to it, one line each. On standard input: "update", "quit" (de-registers).
"""

import argparse
import asyncio
import sys

import aiocoap
import aiocoap.resource as resource
from aiocoap import Code, Message
from aiocoap.credentials import CredentialsMap
from aiocoap.numbers.contentformat import ContentFormat

LINKS = "</>;rt=\"oma.lwm2m\";ct=110,</1/0>,</3/0>,</3303/0>"


def say(*words):
    print(*words, flush=True)


class Text(resource.Resource):
    """A value that is read, and written if it may be."""

    def __init__(self, path, value, writable=False):
        super().__init__()
        self.path, self.value, self.writable = path, value, writable

    async def render_get(self, request):
        say("read", self.path)
        return Message(payload=self.value.encode(), content_format=ContentFormat.TEXT)

    async def render_put(self, request):
        if not self.writable:
            return Message(code=Code.METHOD_NOT_ALLOWED)
        self.value = request.payload.decode()
        say("written", self.path, self.value)
        return Message(code=Code.CHANGED)


class Temperature(resource.ObservableResource):
    """Goes up by a quarter of a degree every half second."""

    def __init__(self):
        super().__init__()
        self.value = 20.0

    async def run(self):
        while True:
            await asyncio.sleep(0.5)
            self.value += 0.25
            self.updated_state()

    async def render_get(self, request):
        return Message(payload=str(self.value).encode(), content_format=ContentFormat.TEXT)


def objects():
    site, temperature = resource.Site(), Temperature()
    site.add_resource(["3", "0", "0"], Text("/3/0/0", "Drover interop"))
    site.add_resource(["3", "0", "14"], Text("/3/0/14", "+00:00", writable=True))
    site.add_resource(["3303", "0", "5700"], temperature)
    return site, temperature


async def context_for(arguments, site):
    """The CoAP context, with OSCORE around the objects if that is asked for."""
    if not arguments.oscore:
        if arguments.server.startswith("coap+tcp"):
            return await aiocoap.Context.create_server_context(site, transports=["tcpclient"])
        return await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", arguments.port))
    from aiocoap.oscore import FilesystemSecurityContext
    from aiocoap.oscore_sitewrapper import OscoreSiteWrapper

    credentials = CredentialsMap()
    security = FilesystemSecurityContext(arguments.oscore)
    credentials[":drover"] = security
    wrapper = OscoreSiteWrapper(site, credentials)
    if arguments.server.startswith("coap+tcp"):
        transports = ["oscore", "tcpclient"]
        context = await aiocoap.Context.create_server_context(wrapper, transports=transports)
    else:
        context = await aiocoap.Context.create_server_context(
            wrapper, bind=("127.0.0.1", arguments.port)
        )
    context.client_credentials[arguments.server + "/*"] = security
    return context


async def send(context, code, uri, payload=b"", **options):
    request = Message(code=code, uri=uri, payload=payload, **options)
    answer = await context.request(request).response
    say("answer", answer.code.dotted, answer.payload.decode(errors="replace"))
    return answer


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--oscore")
    arguments = parser.parse_args()

    site, temperature = objects()
    context = await context_for(arguments, site)
    binding = "T" if "tcp" in arguments.server else "U"
    uri = f"{arguments.server}/rd?ep={arguments.endpoint}&lt=300&lwm2m=1.1&b={binding}"
    answer = await send(
        context, Code.POST, uri, LINKS.encode(), content_format=ContentFormat.LINKFORMAT
    )
    if answer.code != Code.CREATED:
        sys.exit(1)
    say("registered")
    location = arguments.server + "/" + "/".join(answer.opt.location_path)
    ticking = asyncio.create_task(temperature.run())
    loop = asyncio.get_running_loop()
    while True:
        line = (await loop.run_in_executor(None, sys.stdin.readline)).strip()
        if line == "update":
            await send(context, Code.POST, location)
        else:
            await send(context, Code.DELETE, location)
            break
    ticking.cancel()
    await context.shutdown()


asyncio.run(main())
