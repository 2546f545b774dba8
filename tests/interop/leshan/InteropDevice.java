import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.leshan.client.LeshanClient;
import org.eclipse.leshan.client.LeshanClientBuilder;
import org.eclipse.leshan.client.object.Security;
import org.eclipse.leshan.client.object.Server;
import org.eclipse.leshan.client.resource.BaseInstanceEnabler;
import org.eclipse.leshan.client.resource.ObjectsInitializer;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.ResourceModel.Operations;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.eclipse.leshan.core.model.StaticModel;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.request.BindingMode;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.core.response.WriteResponse;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointsProvider;
import org.eclipse.leshan.transport.californium.client.endpoint.coap.CoapClientProtocolProvider;
import org.eclipse.leshan.transport.californium.client.endpoint.coaps.CoapsClientProtocolProvider;

/**
 * A device on Leshan's client library, for tests of Drover against somebody else's protocol stack.
 *
 * <p>Arguments: ENDPOINT URI LIFETIME CID_LENGTH and one of: nosec | psk IDENTITY KEY_HEX | rpk KEY PUBLIC_KEY
 * SERVER_PUBLIC_KEY | x509 KEY CERTIFICATE SERVER_CERTIFICATE, the keys and certificates as DER files, or, with URI
 * being that of a bootstrap server, bootstrap-psk IDENTITY KEY_HEX | bootstrap-x509 (as x509) |
 * bootstrap-nosec. CID_LENGTH 0 means
 * "use the server's Connection ID", -1 "use none". Standard input: {@code update}, {@code quit} (de-registers). What the server does to the device is
 * printed, one line each.
 */
public final class InteropDevice {
    private static final int SHORT_SERVER_ID = 123;

    /** Of the Device object, of which Leshan makes further instances itself. */
    private static String serialNumber = "";

    private InteropDevice() {}

    public static void main(String[] args) throws Exception {
        LeshanClient client = build(args);
        client.start();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = commands.readLine()) != null;) {
            switch (line) {
                case "update" -> client.triggerRegistrationUpdate();
                case "quit" -> {
                    client.destroy(true);
                    System.exit(0);
                }
                default -> System.out.println("unknown command " + line);
            }
        }
        client.destroy(true);
        System.exit(0);
    }

    private static LeshanClient build(String[] args) throws Exception {
        String endpoint = args[0];
        serialNumber = endpoint;
        String uri = args[1];
        List<ObjectModel> models = new ArrayList<>(ObjectLoader.loadDefault());
        models.add(temperatureModel());
        ObjectsInitializer objects = new ObjectsInitializer(new StaticModel(models));
        String[] mode = Arrays.copyOfRange(args, 4, args.length);
        objects.setInstancesForObject(0, security(uri, mode));
        if (mode[0].startsWith("bootstrap-")) {
            objects.setClassForObject(1, Server.class);
        } else {
            objects.setInstancesForObject(1, new Server(SHORT_SERVER_ID, Long.parseLong(args[2]),
                    EnumSet.of(BindingMode.U), false, BindingMode.U));
        }
        DeviceObject device = new DeviceObject();
        objects.setInstancesForObject(3, device);
        objects.setDummyInstancesForObject(4);
        objects.setInstancesForObject(5, new FirmwareUpdate(device::installed));
        objects.setInstancesForObject(3303, new Temperature());

        CaliforniumClientEndpointsProvider.Builder endpoints = new CaliforniumClientEndpointsProvider.Builder(
                new CoapClientProtocolProvider(), new CoapsClientProtocolProvider());
        Configuration configuration = endpoints.createDefaultConfiguration();
        configuration.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, Integer.valueOf(args[3]));
        // Of its own Californium takes 8 kB, and answers more with 4.13.
        configuration.set(CoapConfig.MAX_RESOURCE_BODY_SIZE, 1 << 20);
        endpoints.setConfiguration(configuration);
        LeshanClientBuilder builder = new LeshanClientBuilder(endpoint);
        builder.setObjects(objects.createAll());
        builder.setEndpointsProviders(endpoints.build());
        return builder.build();
    }

    private static Security security(String uri, String[] mode) throws Exception {
        return switch (mode[0]) {
            case "psk" -> Security.psk(uri, SHORT_SERVER_ID, mode[1].getBytes(StandardCharsets.UTF_8), hex(mode[2]));
            case "rpk" -> Security.rpk(uri, SHORT_SERVER_ID, file(mode[2]), file(mode[1]), file(mode[3]));
            case "x509" -> Security.x509(uri, SHORT_SERVER_ID, file(mode[2]), file(mode[1]), file(mode[3]));
            case "nosec" -> Security.noSec(uri, SHORT_SERVER_ID);
            case "bootstrap-psk" ->
                Security.pskBootstrap(uri, mode[1].getBytes(StandardCharsets.UTF_8), hex(mode[2]));
            case "bootstrap-x509" -> Security.x509Bootstrap(uri, file(mode[2]), file(mode[1]), file(mode[3]));
            case "bootstrap-nosec" -> Security.noSecBootstrap(uri);
            default -> throw new IllegalArgumentException(mode[0]);
        };
    }

    private static byte[] file(String path) throws Exception {
        return Files.readAllBytes(Path.of(path));
    }

    private static byte[] hex(String text) {
        return java.util.HexFormat.of().parseHex(text);
    }

    private static void say(String what) {
        System.out.println(what);
        System.out.flush();
    }

    private static ObjectModel temperatureModel() {
        return new ObjectModel(3303, "Temperature", "", "1.1", true, false,
                resource(5601, "Min Measured Value", Operations.R, Type.FLOAT),
                resource(5602, "Max Measured Value", Operations.R, Type.FLOAT),
                resource(5605, "Reset Min and Max Measured Values", Operations.E, Type.NONE),
                resource(5700, "Sensor Value", Operations.R, Type.FLOAT),
                resource(5701, "Sensor Units", Operations.R, Type.STRING));
    }

    private static ResourceModel resource(int id, String name, Operations operations, Type type) {
        return new ResourceModel(id, name, operations, false, id == 5700, type, "", "", "");
    }

    /**
     * Object 3 with what the interoperability cases of the OMA look at, a writable UTC offset and a reboot that is only
     * printed. The serial number is the endpoint name.
     */
    public static final class DeviceObject extends BaseInstanceEnabler {
        private volatile String firmware = "1.0.0";
        private String utcOffset = "+00:00";
        private String timezone = "Europe/Berlin";

        void installed(String version) {
            firmware = version;
            fireResourceChange(3);
        }

        @Override
        public ReadResponse read(LwM2mServer server, int resource) {
            return switch (resource) {
                case 0 -> ReadResponse.success(resource, "Drover");
                case 1 -> ReadResponse.success(resource, "sim-1");
                case 2 -> ReadResponse.success(resource, serialNumber);
                case 3 -> ReadResponse.success(resource, firmware);
                case 6 -> ReadResponse.success(resource, java.util.Map.of(0, 1L, 1, 5L), Type.INTEGER);
                case 7 -> ReadResponse.success(resource, java.util.Map.of(0, 3800L, 1, 5000L), Type.INTEGER);
                case 9 -> ReadResponse.success(resource, 100L);
                case 11 -> ReadResponse.success(resource, java.util.Map.of(0, 0L), Type.INTEGER);
                case 14 -> ReadResponse.success(resource, utcOffset);
                case 15 -> ReadResponse.success(resource, timezone);
                case 16 -> ReadResponse.success(resource, "U");
                default -> ReadResponse.notFound();
            };
        }

        @Override
        public WriteResponse write(LwM2mServer server, boolean replace, int resource, LwM2mResource value) {
            switch (resource) {
                case 14 -> utcOffset = (String) value.getValue();
                case 15 -> timezone = (String) value.getValue();
                default -> {
                    return WriteResponse.notFound();
                }
            }
            say("written " + resource + " " + value.getValue());
            fireResourceChange(resource);
            return WriteResponse.success();
        }

        @Override
        public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
            say("executed " + resource);
            return resource == 4 ? ExecuteResponse.success() : ExecuteResponse.methodNotAllowed();
        }

        @Override
        public List<Integer> getAvailableResourceIds(ObjectModel model) {
            return List.of(0, 1, 2, 3, 4, 6, 7, 9, 11, 14, 15, 16);
        }
    }

    /** Object 3303 whose value goes up by a quarter of a degree every half second. */
    public static final class Temperature extends BaseInstanceEnabler {
        private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(task -> {
            Thread thread = new Thread(task, "temperature");
            thread.setDaemon(true);
            return thread;
        });
        private volatile double value = 20;

        public Temperature() {
            clock.scheduleAtFixedRate(this::rise, 500, 500, TimeUnit.MILLISECONDS);
        }

        /** An executor drops a task that throws, and there is nobody to tell before the client is built. */
        private void rise() {
            value += 0.25;
            try {
                fireResourceChange(5700);
            } catch (RuntimeException error) {
                say("nobody was told of " + value + ": " + error);
            }
        }

        @Override
        public ReadResponse read(LwM2mServer server, int resource) {
            return switch (resource) {
                case 5601 -> ReadResponse.success(resource, 20.0);
                case 5602, 5700 -> ReadResponse.success(resource, value);
                case 5701 -> ReadResponse.success(resource, "Cel");
                default -> ReadResponse.notFound();
            };
        }

        @Override
        public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
            return resource == 5605 ? ExecuteResponse.success() : ExecuteResponse.methodNotAllowed();
        }

        @Override
        public List<Integer> getAvailableResourceIds(ObjectModel model) {
            return List.of(5601, 5602, 5605, 5700, 5701);
        }
    }
}
