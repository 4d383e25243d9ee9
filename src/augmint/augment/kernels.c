/* The dearest operations on small images, one image after the other in the innermost cache.
   What they compute is defined by their twins in torch: geometry._resample, colour.jitter_, defects.erase,
   defects.gaussian_noise and operations.apply. See native.py. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static float unit(float x) { return fminf(fmaxf(x, 0.0f), 1.0f); }

static long reflect(long i, long n) { return labs(n - 1 - labs(n - 1 - labs(i))); }

/* Gaussian of 2 radius + 1 weights, sum 1. */
static void gaussian(float *weight, float sigma, int radius) {
    float total = 0.0f;
    for (int j = -radius; j <= radius; j++) total += weight[j + radius] = expf(-0.5f * j * j / (sigma * sigma));
    for (int j = 0; j <= 2 * radius; j++) weight[j] /= total;
}

static void blur(const float *in, float *out, float *line, long h, long w, float sigma, int radius) {
    int tall = radius < h - 1 ? radius : (int)(h - 1), wide = radius < w - 1 ? radius : (int)(w - 1);
    float down[2 * tall + 1], across[2 * wide + 1];
    gaussian(down, sigma, tall);
    gaussian(across, sigma, wide);
    for (long y = 0; y < h; y++) {
        float *row = line + wide;
        for (long x = 0; x < w; x++) row[x] = 0.0f;
        for (int j = -tall; j <= tall; j++) {
            const float *from = in + reflect(y + j, h) * w;
            float g = down[j + tall];
            for (long x = 0; x < w; x++) row[x] += g * from[x];
        }
        for (int j = 1; j <= wide; j++) row[-j] = row[j], row[w - 1 + j] = row[w - 1 - j];
        float *to = out + y * w;
        for (long x = 0; x < w; x++) to[x] = across[0] * line[x];
        for (int j = 1; j <= 2 * wide; j++)
            for (long x = 0; x < w; x++) to[x] += across[j] * line[x + j];
    }
}

/* Linear interpolation at `position` on an axis of `size`, 0 outside: indices of the two pixels and their weights. */
static void between(float position, long size, long *index, float *weight) {
    float below = floorf(position), part = position - below;
    weight[0] = below >= 0 && below < size ? 1 - part : 0;
    weight[1] = below >= -1 && below < size - 1 ? part : 0;
    index[0] = (long)fminf(fmaxf(below, 0), size - 1);
    index[1] = (long)fminf(fmaxf(below + 1, 0), size - 1);
}

/* One output line, before columns are read: two lines of the image, weighted. */
static void lerp(const void *images, int bytes, const long *first, const float *weight, float *line, long W) {
    if (bytes) {
        const uint8_t *a = (const uint8_t *)images + first[0], *b = (const uint8_t *)images + first[1];
        float upper = weight[0] / 255, lower = weight[1] / 255;
        for (long x = 0; x < W; x++) line[x] = upper * a[x] + lower * b[x];
    } else {
        const float *a = (const float *)images + first[0], *b = (const float *)images + first[1];
        for (long x = 0; x < W; x++) line[x] = weight[0] * a[x] + weight[1] * b[x];
    }
}

/* images uint8 (bytes) or float [n, c, H, W]; rows [n, h] and columns [n, w]: where each output line lies, in pixels,
   0 outside; sigma [n], 0 = sharp; out float [n, c, h, w] in 0 … 1. 0 = done, 1 = no memory. */
int resample(const void *images, int bytes, const float *rows, const float *columns, const float *sigma, int radius,
             float *out, long n, long c, long H, long W, long h, long w) {
    float *line = malloc(sizeof(float) * (size_t)(W + 3 * w + 2 * radius + h * w));
    int *left = malloc(sizeof(int) * (size_t)(2 * w));
    if (!line || !left) return free(line), free(left), 1;
    int *right = left + w;
    float *near = line + W, *far = near + w, *padded = far + w, *sharp = padded + w + 2 * radius;
    for (long i = 0; i < n; i++) {
        long pair[2];
        float weight[2];
        for (long x = 0; x < w; x++) {
            between(columns[i * w + x], W, pair, weight);
            left[x] = (int)pair[0], right[x] = (int)pair[1], near[x] = weight[0], far[x] = weight[1];
        }
        for (long k = i * c; k < (i + 1) * c; k++) {
            float *to = sigma[i] > 0 ? sharp : out + k * h * w;
            for (long y = 0; y < h; y++, to += w) {
                between(rows[i * h + y], H, pair, weight);
                pair[0] = (k * H + pair[0]) * W, pair[1] = (k * H + pair[1]) * W;
                lerp(images, bytes, pair, weight, line, W);
                for (long x = 0; x < w; x++) to[x] = line[left[x]] * near[x] + line[right[x]] * far[x];
            }
            if (sigma[i] > 0) blur(sharp, out + k * h * w, padded, h, w, sigma[i], radius);
        }
    }
    return free(line), free(left), 0;
}

static const float RED = 0.2989f, GREEN = 0.587f, BLUE = 0.114f; /* ITU-R 601, as colour.LUMA */

static void brightness(float *x, long values, float factor) {
    for (long i = 0; i < values; i++) x[i] = unit(x[i] * factor);
}

static void contrast(float *x, long channels, long pixels, float factor) {
    double sum = 0;
    for (long start = 0; start < pixels; start += 1024) { /* short sums in float, the whole in double */
        long end = start + 1024 < pixels ? start + 1024 : pixels;
        float lanes[16] = {0}, some = 0;
        for (long i = start; i < end; i++)
            lanes[i & 15] += channels == 1 ? x[i] : RED * x[i] + GREEN * x[i + pixels] + BLUE * x[i + 2 * pixels];
        for (int lane = 0; lane < 16; lane++) some += lanes[lane];
        sum += some;
    }
    float rest = (1 - factor) * (float)(sum / pixels);
    for (long i = 0; i < channels * pixels; i++) x[i] = unit(x[i] * factor + rest);
}

static void saturation(float *restrict r, float *restrict g, float *restrict b, long pixels, float factor) {
    for (long i = 0; i < pixels; i++) {
        float rest = (1 - factor) * (RED * r[i] + GREEN * g[i] + BLUE * b[i]);
        r[i] = unit(r[i] * factor + rest);
        g[i] = unit(g[i] * factor + rest);
        b[i] = unit(b[i] * factor + rest);
    }
}

/* A channel's share of the pixel's range: a trapezoid of the hue's distance from the channel's opposite, in sixths. */
static float share(float hue, float opposite) { return unit(fabsf(hue - opposite) - 1); }

static void hue(float *restrict r, float *restrict g, float *restrict b, long pixels, float turn) {
    for (long i = 0; i < pixels; i++) {
        float low = fminf(fminf(r[i], g[i]), b[i]), high = fmaxf(fmaxf(r[i], g[i]), b[i]), range = high - low;
        float distance = 1 + (g[i] + b[i] - r[i] - low) / fmaxf(range, 1e-12f);
        float circle = copysignf(distance, g[i] - b[i]) + 6 * turn;
        circle -= 6 * floorf(circle / 6);
        r[i] = low + range * share(circle, 3);
        g[i] = low + range * (1 - share(circle, 2));
        b[i] = low + range * (1 - share(circle, 4));
    }
}

/* images float [n, c, pixels] in place; factors [n, 3] of brightness, contrast, saturation; turn [n]; order [n, 4]. */
void jitter(float *images, const float *factors, const float *turn, const int64_t *order, long n, long c, long pixels) {
    for (long i = 0; i < n; i++) {
        float *x = images + i * c * pixels, *y = x + pixels, *z = y + pixels;
        const float *factor = factors + 3 * i;
        for (int k = 0; k < 4; k++) {
            int64_t kind = order[4 * i + k];
            if (kind < 3 && factor[kind] == 1) continue;
            if (kind == 0) brightness(x, c * pixels, factor[0]);
            else if (kind == 1) contrast(x, c, pixels, factor[1]);
            else if (c == 3 && kind == 2) saturation(x, y, z, pixels, factor[2]);
            else if (c == 3 && kind == 3 && turn[i] != 0) hue(x, y, z, pixels, turn[i]);
        }
    }
}

/* images float [n, c, h, w] in place: box [n, 4] (top, left, height, width) is filled with the channel's mean. */
void erase(float *images, const float *box, long n, long c, long h, long w) {
    for (long k = 0; k < n * c; k++) {
        float *x = images + k * h * w, sum = 0;
        const float *b = box + 4 * (k / c);
        if (!(b[2] > 0 && b[3] > 0)) continue;
        for (long i = 0; i < h * w; i++) sum += x[i];
        for (long y = 0; y < h; y++)
            if (y + 0.5f >= b[0] && y + 0.5f < b[0] + b[2])
                for (long i = 0; i < w; i++)
                    if (i + 0.5f >= b[1] && i + 0.5f < b[1] + b[3]) x[y * w + i] = sum / (h * w);
    }
}

/* images float [n, values] in place: plus sigma [n] times the numbers of `pool` from start [n] on, kept in 0 … 1. */
void noise(float *images, const float *pool, const float *sigma, const int64_t *start, long n, long values) {
    for (long i = 0; i < n; i++) {
        float *restrict x = images + i * values;
        const float *restrict from = pool + start[i];
        for (long k = 0; k < values; k++) x[k] = unit(x[k] + sigma[i] * from[k]);
    }
}

/* The operations of operations.py, in its order. */
enum { IDENTITY, SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y, ROTATE, BRIGHTNESS, SATURATION, CONTRAST, SHARPNESS,
       POSTERIZE, SOLARIZE, AUTOCONTRAST, EQUALIZE };

/* Output pixel (x, y) shows (a x + b y, d x + e y), both from the image's centre; 0 outside. */
static void affine(const float *in, float *out, long h, long w, float a, float b, float d, float e) {
    float right = (w - 1) / 2.0f, down = (h - 1) / 2.0f;
    for (long i = 0; i < h; i++)
        for (long j = 0; j < w; j++) {
            float x = j - right, y = i - down, near[2], high[2];
            long column[2], row[2];
            between(a * x + b * y + right, w, column, near);
            between(d * x + e * y + down, h, row, high);
            const float *upper = in + row[0] * w, *lower = in + row[1] * w;
            out[i * w + j] = high[0] * (near[0] * upper[column[0]] + near[1] * upper[column[1]]) +
                             high[1] * (near[0] * lower[column[0]] + near[1] * lower[column[1]]);
        }
}

static void translate(const float *in, float *out, long h, long w, long right, long down) {
    for (long i = 0; i < h; i++)
        for (long j = 0; j < w; j++) {
            long y = i - down, x = j - right;
            out[i * w + j] = y >= 0 && y < h && x >= 0 && x < w ? in[y * w + x] : 0;
        }
}

static void sharpness(const float *in, float *out, long h, long w, float factor) {
    for (long i = 0; i < h; i++)
        for (long j = 0; j < w; j++) {
            const float *x = in + i * w + j;
            float smooth = *x;
            if (i > 0 && j > 0 && i < h - 1 && j < w - 1)
                smooth = (x[-w - 1] + x[-w] + x[1 - w] + x[-1] + 5 * *x + x[1] + x[w - 1] + x[w] + x[w + 1]) / 13;
            out[i * w + j] = unit(smooth + factor * (*x - smooth));
        }
}

static void posterize(float *x, long values, float bits) {
    if (bits >= 8) return;
    float levels = exp2f(rintf(bits));
    for (long i = 0; i < values; i++) x[i] = fminf(floorf(x[i] * levels), levels - 1) / levels;
}

static void solarize(float *x, long values, float threshold) {
    for (long i = 0; i < values; i++) x[i] = x[i] >= threshold ? 1 - x[i] : x[i];
}

static void autocontrast(float *x, long pixels) {
    float low = x[0], high = x[0];
    for (long i = 1; i < pixels; i++) low = fminf(low, x[i]), high = fmaxf(high, x[i]);
    if (high <= low) return;
    float scale = 1 / (high - low);
    for (long i = 0; i < pixels; i++) x[i] = unit((x[i] - low) * scale);
}

static long level(float x) { return (long)fminf(fmaxf(floorf(x * 255 + 0.5f), 0), 255); }

static void equalize(float *x, long pixels) {
    long histogram[256] = {0}, before = 0, top = 255;
    for (long i = 0; i < pixels; i++) histogram[level(x[i])]++;
    while (!histogram[top]) top--;
    long step = (pixels - histogram[top]) / 255;
    float table[256];
    for (long value = 0; value < 256; before += histogram[value++]) {
        long equal = step > 0 ? (step / 2 + before) / step : value;
        table[value] = (float)(equal < 255 ? equal : 255) / 255;
    }
    for (long i = 0; i < pixels; i++) x[i] = table[level(x[i])];
}

/* images float [n, c, h, w] → out: image i undergoes operation kind [n] by amount [n]. */
void operate(const float *images, const int64_t *kind, const float *amount, float *out, long n, long c, long h, long w) {
    long pixels = h * w, values = c * pixels;
    for (long i = 0; i < n; i++) {
        const float *in = images + i * values;
        float *to = out + i * values, by = amount[i], turn = by * (float)(M_PI / 180);
        int64_t what = kind[i];
        int moves = (what >= SHEAR_X && what <= ROTATE) || what == SHARPNESS;
        if (!moves) memcpy(to, in, sizeof(float) * (size_t)values);
        if (what == BRIGHTNESS) brightness(to, values, by);
        if (what == CONTRAST) contrast(to, c, pixels, by);
        if (what == SATURATION && c == 3) saturation(to, to + pixels, to + 2 * pixels, pixels, by);
        if (what == POSTERIZE) posterize(to, values, by);
        if (what == SOLARIZE) solarize(to, values, by);
        for (long k = 0; k < c; k++, in += pixels, to += pixels) {
            if (what == SHEAR_X) affine(in, to, h, w, 1, -by, 0, 1);
            if (what == SHEAR_Y) affine(in, to, h, w, 1, 0, -by, 1);
            if (what == ROTATE) affine(in, to, h, w, cosf(turn), -sinf(turn), sinf(turn), cosf(turn));
            if (what == TRANSLATE_X) translate(in, to, h, w, (long)by, 0);
            if (what == TRANSLATE_Y) translate(in, to, h, w, 0, (long)by);
            if (what == SHARPNESS) sharpness(in, to, h, w, by);
            if (what == AUTOCONTRAST) autocontrast(to, pixels);
            if (what == EQUALIZE) equalize(to, pixels);
        }
    }
}
