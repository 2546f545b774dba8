import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Collection;
import java.util.HexFormat;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.response.ObserveCompositeResponse;
import org.eclipse.leshan.core.response.ObserveResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.core.response.WriteResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.LeshanServerBuilder;
import org.eclipse.leshan.server.observation.ObservationListener;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationListener;
import org.eclipse.leshan.server.registration.RegistrationUpdate;
import org.eclipse.leshan.servers.security.InMemorySecurityStore;
import org.eclipse.leshan.servers.security.SecurityInfo;
import org.eclipse.leshan.transport.californium.server.endpoint.CaliforniumServerEndpointsProvider;
import org.eclipse.leshan.transport.californium.server.endpoint.coaps.CoapsServerProtocolProvider;

/**
 * A server on Leshan's server library, for tests of Drover's device against somebody else's protocol stack.
 *
 * <p>Arguments: ENDPOINT and one of: psk IDENTITY KEY_HEX | rpk KEY PUBLIC_KEY DEVICE_PUBLIC_KEY | x509 KEY CERTIFICATE
 * AUTHORITY, keys and certificates as DER files. Says where it listens, and what happens, one line each. When the device
 * has registered, it reads /3/0/0, writes /3/0/14 and observes /3303/0/5700. Ends with its standard input.
 */
public final class InteropServer {
    private InteropServer() {}

    public static void main(String[] args) throws Exception {
        LeshanServer server = build(args);
        server.getRegistrationService().addListener(new RegistrationListener() {
            @Override
            public void registered(Registration registration, Registration before, Collection<Observation> observations) {
                say("registered " + registration.getEndpoint());
                new Thread(() -> manage(server, registration)).start();
            }

            @Override
            public void updated(RegistrationUpdate update, Registration updated, Registration before) {
                say("updated " + updated.getEndpoint());
            }

            @Override
            public void unregistered(Registration registration, Collection<Observation> observations, boolean expired,
                    Registration next) {
                say("unregistered " + registration.getEndpoint());
            }
        });
        server.getObservationService().addListener(new Printer());
        server.start();
        say("listens " + server.getEndpoint(Protocol.COAPS).getURI().getPort());
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        while (commands.readLine() != null) {
            say("unknown command");
        }
        System.exit(0);
    }

    private static void manage(LeshanServer server, Registration registration) {
        try {
            ReadResponse read = server.send(registration, new ReadRequest(3, 0, 0));
            say("read " + read.getCode() + " " + read.getContent());
            WriteResponse write = server.send(registration, new WriteRequest(3, 0, 14, "+02:00"));
            say("write " + write.getCode());
            ObserveResponse observe = server.send(registration, new ObserveRequest(3303, 0, 5700));
            say("observe " + observe.getCode());
        } catch (Exception error) {
            say("failed " + error);
        }
    }

    private static LeshanServer build(String[] args) throws Exception {
        LeshanServerBuilder builder = new LeshanServerBuilder();
        InMemorySecurityStore store = new InMemorySecurityStore();
        builder.setSecurityStore(store);
        String endpoint = args[0];
        switch (args[1]) {
            case "psk" -> store.add(SecurityInfo.newPreSharedKeyInfo(endpoint, args[2], HexFormat.of().parseHex(args[3])));
            case "rpk" -> {
                builder.setPrivateKey(privateKey(args[2]));
                builder.setPublicKey(publicKey(args[3]));
                store.add(SecurityInfo.newRawPublicKeyInfo(endpoint, publicKey(args[4])));
            }
            case "x509" -> {
                builder.setPrivateKey(privateKey(args[2]));
                builder.setCertificateChain(new X509Certificate[] {certificate(args[3])});
                builder.setTrustedCertificates(new X509Certificate[] {certificate(args[4])});
                store.add(SecurityInfo.newX509CertInfo(endpoint));
            }
            default -> throw new IllegalArgumentException(args[1]);
        }
        CaliforniumServerEndpointsProvider.Builder endpoints =
                new CaliforniumServerEndpointsProvider.Builder(new CoapsServerProtocolProvider());
        Configuration configuration = endpoints.createDefaultConfiguration();
        configuration.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, 6);
        endpoints.setConfiguration(configuration);
        endpoints.addEndpoint(new InetSocketAddress("127.0.0.1", 0), Protocol.COAPS);
        builder.setEndpointsProviders(endpoints.build());
        return builder.build();
    }

    private static PrivateKey privateKey(String file) throws Exception {
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Files.readAllBytes(Path.of(file))));
    }

    private static PublicKey publicKey(String file) throws Exception {
        return KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(Files.readAllBytes(Path.of(file))));
    }

    private static X509Certificate certificate(String file) throws Exception {
        byte[] der = Files.readAllBytes(Path.of(file));
        return (X509Certificate) CertificateFactory.getInstance("X.509")
                .generateCertificate(new ByteArrayInputStream(der));
    }

    private static synchronized void say(String what) {
        System.out.println(what);
        System.out.flush();
    }

    /** Prints the values of notifications. */
    private static final class Printer implements ObservationListener {
        @Override
        public void newObservation(Observation observation, Registration registration) {}

        @Override
        public void cancelled(Observation observation) {}

        @Override
        public void onResponse(SingleObservation observation, Registration registration, ObserveResponse response) {
            say("notified " + observation.getPath() + " " + response.getContent());
        }

        @Override
        public void onResponse(CompositeObservation observation, Registration registration,
                ObserveCompositeResponse response) {}

        @Override
        public void onError(Observation observation, Registration registration, Exception error) {
            say("notification failed " + error);
        }
    }
}
