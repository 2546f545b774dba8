import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.eclipse.leshan.client.resource.BaseInstanceEnabler;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.node.LwM2mResource;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.eclipse.leshan.core.response.WriteResponse;

/**
 * Object 5 of a device that takes packages and does not fetch them. A package begins with a line {@code NAME VERSION}; one
 * that does not fails its check (Update Result 5).
 */
public final class FirmwareUpdate extends BaseInstanceEnabler {
    private static final int PACKAGE = 0;
    private static final int PACKAGE_URI = 1;
    private static final int UPDATE = 2;
    private static final int STATE = 3;
    private static final int RESULT = 5;
    private static final int DELIVERY_METHOD = 9;

    private static final long IDLE = 0;
    private static final long DOWNLOADED = 2;
    private static final long UPDATING = 3;

    private static final long NO_RESULT = 0;
    private static final long SUCCESS = 1;
    private static final long INTEGRITY_CHECK_FAILED = 5;

    private static final long PUSH_ONLY = 1;

    private final Consumer<String> installed;
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread thread = new Thread(task, "firmware");
        thread.setDaemon(true);
        return thread;
    });
    private volatile long state = IDLE;
    private volatile long result = NO_RESULT;
    private volatile String version = "";

    /** Leshan asks for it: further instances would be made by it. */
    public FirmwareUpdate() {
        this(version -> { });
    }

    /** {@code installed} is told the version that an update brought. */
    public FirmwareUpdate(Consumer<String> installed) {
        this.installed = installed;
    }

    @Override
    public ReadResponse read(LwM2mServer server, int resource) {
        return switch (resource) {
            case PACKAGE_URI -> ReadResponse.success(resource, "");
            case STATE -> ReadResponse.success(resource, state);
            case RESULT -> ReadResponse.success(resource, result);
            case DELIVERY_METHOD -> ReadResponse.success(resource, PUSH_ONLY);
            default -> ReadResponse.methodNotAllowed();
        };
    }

    @Override
    public WriteResponse write(LwM2mServer server, boolean replace, int resource, LwM2mResource value) {
        return switch (resource) {
            case PACKAGE -> take((byte[]) value.getValue());
            case PACKAGE_URI -> {
                move(IDLE, NO_RESULT);
                yield ((String) value.getValue()).isEmpty() ? WriteResponse.success() : WriteResponse.badRequest(null);
            }
            default -> WriteResponse.methodNotAllowed();
        };
    }

    private WriteResponse take(byte[] bytes) {
        say("package of " + bytes.length + " bytes");
        String[] words = new String(bytes, StandardCharsets.ISO_8859_1).lines().findFirst().orElse("").split(" ");
        if (bytes.length == 1 && bytes[0] == 0) {
            move(IDLE, NO_RESULT);
        } else if (words.length == 2) {
            version = words[1];
            move(DOWNLOADED, NO_RESULT);
        } else {
            move(IDLE, INTEGRITY_CHECK_FAILED);
        }
        return WriteResponse.success();
    }

    @Override
    public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
        if (resource != UPDATE || state != DOWNLOADED) {
            return ExecuteResponse.methodNotAllowed();
        }
        move(UPDATING, NO_RESULT);
        clock.schedule(this::finish, 1, TimeUnit.SECONDS);
        return ExecuteResponse.success();
    }

    private void finish() {
        installed.accept(version);
        move(IDLE, SUCCESS);
    }

    private void move(long state, long result) {
        this.state = state;
        this.result = result;
        say("firmware state " + state + " result " + result);
        fireResourcesChange(getResourcePath(STATE), getResourcePath(RESULT));
    }

    private static void say(String what) {
        System.out.println(what);
        System.out.flush();
    }

    @Override
    public List<Integer> getAvailableResourceIds(ObjectModel model) {
        return List.of(PACKAGE, PACKAGE_URI, UPDATE, STATE, RESULT, DELIVERY_METHOD);
    }
}
