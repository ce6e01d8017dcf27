import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the tools of Apache Kafka one after the other, so that a JVM and its libraries are loaded once. Each run has the tools' own classes to
 * itself (their static fields are new); an exit ends the run instead of the JVM.
 *
 * <p>Arguments: the jars of the tools, which are not on the class path. On standard input, for each run: the number of words, the words (the
 * class first), what the tool reads. On standard output: the exit status, what the tool printed, and on standard error. A text is its length in
 * bytes and its bytes, a number four bytes, big-endian.
 */
public final class Tools {
    /** Thrown by what asked to end the JVM. */
    private static final class Ended extends Error {
        Ended() {
            super(null, null, false, false);
        }
    }

    /** A standard stream of whichever run is under way; closed to it from the moment of its exit. */
    private static final class Stream extends OutputStream {
        private ByteArrayOutputStream taken = new ByteArrayOutputStream();
        private boolean open = true;

        @Override
        public synchronized void write(int octet) {
            if (open) taken.write(octet);
        }

        @Override
        public synchronized void write(byte[] bytes, int offset, int length) {
            if (open) taken.write(bytes, offset, length);
        }

        synchronized void shut() {
            open = false;
        }

        synchronized byte[] take() {
            final byte[] bytes = taken.toByteArray();
            taken = new ByteArrayOutputStream();
            open = true;
            return bytes;
        }
    }

    private static final Stream OUT = new Stream();
    private static final Stream ERR = new Stream();
    private static final List<Runnable> HOOKS = new ArrayList<>();
    private static Integer status;

    private static PrintStream printerOf(Stream stream) {
        return new PrintStream(stream, true, StandardCharsets.UTF_8) {
            @Override
            public void close() {
                flush();   // the next run prints to it, too
            }
        };
    }

    private static synchronized void end(int code) {
        if (status == null) {
            status = code;
            System.out.flush();
            System.err.flush();
            OUT.shut();
            ERR.shut();
        }
        throw new Ended();
    }

    private static void call(URL[] jars, String name, String[] words) {
        try (URLClassLoader loader = new URLClassLoader(jars, Tools.class.getClassLoader())) {
            Thread.currentThread().setContextClassLoader(loader);
            loader.loadClass(name).getMethod("main", String[].class).invoke(null, (Object) words);
        } catch (InvocationTargetException e) {
            if (!(e.getCause() instanceof Ended)) {
                System.err.print("Exception in thread \"main\" ");
                e.getCause().printStackTrace();
                status = status == null ? Integer.valueOf(1) : status;
            }
        } catch (ReflectiveOperationException | IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static int run(URL[] jars, String name, String[] words) {
        status = null;
        HOOKS.clear();
        call(jars, name, words);
        for (Runnable hook : HOOKS) {
            try {
                hook.run();
            } catch (Ended e) {
                // It has.
            }
        }
        System.out.flush();
        System.err.flush();
        return status == null ? 0 : status;
    }

    private static byte[] read(DataInputStream in) throws IOException {
        return in.readNBytes(in.readInt());
    }

    private static void write(DataOutputStream out, byte[] bytes) throws IOException {
        out.writeInt(bytes.length);
        out.write(bytes);
    }

    private static URL[] urls(String[] paths) throws MalformedURLException {
        final URL[] urls = new URL[paths.length];
        for (int i = 0; i < paths.length; ++i) urls[i] = Path.of(paths[i]).toUri().toURL();
        return urls;
    }

    public static void main(String[] arguments) throws IOException {
        final URL[] jars = urls(arguments);
        final DataInputStream in = new DataInputStream(new BufferedInputStream(new FileInputStream(FileDescriptor.in)));
        final DataOutputStream out = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out)));
        System.setOut(printerOf(OUT));
        System.setErr(printerOf(ERR));
        Exit.setExitProcedure((code, message) -> end(code));
        Exit.setHaltProcedure((code, message) -> end(code));
        Exit.setShutdownHookAdder((name, hook) -> HOOKS.add(hook));
        try {
            while (true) {
                final String[] words = new String[in.readInt() - 1];
                final String name = new String(read(in), StandardCharsets.UTF_8);
                for (int i = 0; i < words.length; ++i) words[i] = new String(read(in), StandardCharsets.UTF_8);
                System.setIn(new ByteArrayInputStream(read(in)));
                out.writeInt(run(jars, name, words));
                write(out, OUT.take());
                write(out, ERR.take());
                out.flush();
            }
        } catch (EOFException e) {
            System.exit(0);
        }
    }
}
